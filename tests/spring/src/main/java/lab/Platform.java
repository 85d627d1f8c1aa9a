package lab;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.UUID;
import org.springframework.http.HttpHeaders;
import org.springframework.http.HttpStatus;
import org.springframework.http.ResponseCookie;
import org.springframework.http.ResponseEntity;
import org.springframework.messaging.simp.SimpMessagingTemplate;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.RequestBody;
import org.springframework.web.bind.annotation.RequestParam;
import org.springframework.web.bind.annotation.RestController;
import org.springframework.web.socket.CloseStatus;

/** The platform's HTTP: sign-in as its pages use it, and what tests tell it to do. */
@RestController
public class Platform {
    /** Makes each user's code another one after each start. */
    private final UUID start = UUID.randomUUID();

    private final SimpMessagingTemplate template;
    private final Sessions sessions;
    private final Tokens tokens;
    private final ObjectMapper json;

    public Platform(SimpMessagingTemplate template, Sessions sessions, Tokens tokens, ObjectMapper json) {
        this.template = template;
        this.sessions = sessions;
        this.tokens = tokens;
        this.json = json;
    }

    public record Credentials(String username, String password) {}

    /** Anybody with the right password; the token comes as a cookie and as a header, too. */
    @PostMapping("/api/login")
    public ResponseEntity<Map<String, Object>> login(@RequestBody Credentials credentials) {
        if (!"lab-password".equals(credentials.password())) {
            return ResponseEntity.status(HttpStatus.UNAUTHORIZED)
                .body(Map.of("code", 401, "message", "wrong user or password"));
        }
        var token = tokens.issue();
        var cookie = ResponseCookie.from("token", token).path("/").httpOnly(true).build();
        var socketCode = UUID.nameUUIDFromBytes((start + credentials.username()).getBytes(StandardCharsets.UTF_8));
        return ResponseEntity.ok().header(HttpHeaders.SET_COOKIE, cookie.toString())
            .header(HttpHeaders.AUTHORIZATION, "Bearer " + token)
            .body(Map.of("code", 0, "data", Map.of("token", token, "socketCode", socketCode)));
    }

    /** The same for those who want nothing but the token: it is the whole answer. */
    @PostMapping(path = "/api/token", produces = "text/plain")
    public ResponseEntity<String> token(@RequestBody Credentials credentials) {
        return "lab-password".equals(credentials.password())
            ? ResponseEntity.ok(tokens.issue() + "\n")
            : ResponseEntity.status(HttpStatus.UNAUTHORIZED).body("wrong user or password");
    }

    /** Ends all tokens. */
    @PostMapping("/api/expire")
    public void expire() {
        tokens.expire();
    }

    /** One message for each line, which is JSON. */
    @PostMapping("/publish")
    public void publish(@RequestParam String destination, @RequestBody String lines) throws JsonProcessingException {
        for (var line : lines.lines().toList()) {
            template.convertAndSend(destination, json.readTree(line));
        }
    }

    /** Ends all sessions. */
    @PostMapping("/close")
    public void close(@RequestParam int code, @RequestParam String reason) throws IOException {
        sessions.close(new CloseStatus(code, reason));
    }
}
