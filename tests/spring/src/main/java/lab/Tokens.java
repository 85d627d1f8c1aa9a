package lab;

import java.time.Duration;
import java.time.Instant;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.http.HttpHeaders;
import org.springframework.http.server.ServerHttpRequest;
import org.springframework.http.server.ServerHttpResponse;
import org.springframework.messaging.Message;
import org.springframework.messaging.MessageChannel;
import org.springframework.messaging.MessagingException;
import org.springframework.messaging.simp.stomp.StompCommand;
import org.springframework.messaging.simp.stomp.StompHeaderAccessor;
import org.springframework.messaging.support.ChannelInterceptor;
import org.springframework.stereotype.Component;
import org.springframework.web.socket.WebSocketHandler;
import org.springframework.web.socket.server.HandshakeInterceptor;

/**
 * Who has signed in. {@code lab.auth}: {@code token} means that every request of an endpoint wants the token as {@code
 * Authorization: Bearer} or as the cookie {@code token}, and CONNECT wants it as {@code Authorization} where the endpoint
 * does not leave that to the handshake. {@code lab.token-life}: milliseconds after which a token ends; 0 is never.
 *
 * <p>Nobody may subscribe a destination below {@code /topic/secret/}.
 */
@Component
public class Tokens implements ChannelInterceptor, HandshakeInterceptor {
    private static final String HANDSHAKE_DOES = Tokens.class.getName();
    private static final String SECRET = "/topic/secret/";

    private final boolean wanted;
    private final Duration life;
    private final Map<String, Instant> ends = new ConcurrentHashMap<>();

    public Tokens(@Value("${lab.auth:none}") String auth, @Value("${lab.token-life:0}") long life) {
        this.wanted = auth.equals("token");
        this.life = life > 0 ? Duration.ofMillis(life) : Duration.ofDays(1);
    }

    String issue() {
        var token = UUID.randomUUID().toString();
        ends.put(token, Instant.now().plus(life));
        return token;
    }

    /** Nobody is signed in now. Living sessions stay. */
    void expire() {
        ends.clear();
    }

    /** How long the token that these headers carry will last; null where they carry none. */
    Duration left(HttpHeaders headers) {
        var cookie = inCookies(headers.getFirst(HttpHeaders.COOKIE));
        var token = cookie == null ? inBearer(headers.getFirst(HttpHeaders.AUTHORIZATION)) : cookie;
        var end = token == null ? null : ends.get(token);
        return end == null ? null : Duration.between(Instant.now(), end);
    }

    boolean isBearer(String authorization) {
        return isValid(inBearer(authorization));
    }

    boolean isInCookies(String cookies) {
        return isValid(inCookies(cookies));
    }

    private static String inBearer(String authorization) {
        return authorization != null && authorization.startsWith("Bearer ") ? authorization.substring(7) : null;
    }

    private static String inCookies(String cookies) {
        for (var cookie : (cookies == null ? "" : cookies).split("; *")) {
            if (cookie.startsWith("token=")) {
                return cookie.substring(6);
            }
        }
        return null;
    }

    private boolean isValid(String token) {
        var end = token == null ? null : ends.get(token);
        return end != null && Instant.now().isBefore(end);
    }

    @Override
    public Message<?> preSend(Message<?> message, MessageChannel channel) {
        var headers = StompHeaderAccessor.wrap(message);
        var attributes = headers.getSessionAttributes();
        var unchecked = attributes == null || !attributes.containsKey(HANDSHAKE_DOES);
        if (wanted && unchecked && headers.getCommand() == StompCommand.CONNECT
            && !isBearer(headers.getFirstNativeHeader("Authorization"))) {
            throw new MessagingException("not signed in");
        }
        var destination = headers.getDestination();
        if (headers.getCommand() == StompCommand.SUBSCRIBE && destination != null && destination.startsWith(SECRET)) {
            throw new MessagingException("not for you");
        }
        return message;
    }

    @Override
    public boolean beforeHandshake(ServerHttpRequest request, ServerHttpResponse response, WebSocketHandler handler,
        Map<String, Object> attributes) {
        attributes.put(HANDSHAKE_DOES, true);
        return true;
    }

    @Override
    public void afterHandshake(ServerHttpRequest request, ServerHttpResponse response, WebSocketHandler handler,
        Exception exception) {}
}
