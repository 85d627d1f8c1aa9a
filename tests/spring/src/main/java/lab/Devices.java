package lab;

import java.util.Map;
import java.util.TreeMap;
import org.springframework.http.HttpStatus;
import org.springframework.http.ResponseEntity;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.RequestBody;
import org.springframework.web.bind.annotation.RequestHeader;
import org.springframework.web.bind.annotation.RestController;

/** The state of every device, for pages that have just been opened. A test sets it; no message says so. */
@RestController
public class Devices {
    private final Tokens tokens;
    private final Map<Integer, String> states = new TreeMap<>();

    public Devices(Tokens tokens) {
        this.tokens = tokens;
    }

    @PostMapping("/api/states")
    public synchronized void are(@RequestBody Map<Integer, String> states) {
        this.states.clear();
        this.states.putAll(states);
    }

    /** For those who are signed in, as {@link Platform} does it. */
    @GetMapping("/api/devices")
    public synchronized ResponseEntity<Map<String, Object>> devices(
            @RequestHeader(name = "Authorization", required = false) String authorization) {
        if (authorization == null || !tokens.isBearer(authorization)) {
            return ResponseEntity.status(HttpStatus.UNAUTHORIZED).body(Map.of("code", 401, "message", "sign in"));
        }
        var devices = states.entrySet().stream()
            .map(device -> Map.of("owner", 1, "id", device.getKey(), "state", device.getValue())).toList();
        return ResponseEntity.ok(Map.of("code", 0, "data", Map.of("list", devices)));
    }
}
