package lab;

import jakarta.servlet.FilterChain;
import jakarta.servlet.ServletException;
import jakarta.servlet.http.Cookie;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.http.server.ServerHttpRequest;
import org.springframework.http.server.ServerHttpResponse;
import org.springframework.messaging.Message;
import org.springframework.messaging.MessageChannel;
import org.springframework.messaging.MessagingException;
import org.springframework.messaging.simp.stomp.StompCommand;
import org.springframework.messaging.simp.stomp.StompHeaderAccessor;
import org.springframework.messaging.support.ChannelInterceptor;
import org.springframework.stereotype.Component;
import org.springframework.web.filter.OncePerRequestFilter;
import org.springframework.web.socket.WebSocketHandler;
import org.springframework.web.socket.server.HandshakeInterceptor;

/**
 * Who has signed in. {@code lab.auth}: {@code none}, or {@code token}: then every request of an endpoint wants the token as
 * {@code Authorization: Bearer} or as the cookie {@code token}, and CONNECT wants it as {@code Authorization} where the
 * endpoint does not leave that to the handshake.
 */
@Component
public class Tokens extends OncePerRequestFilter implements ChannelInterceptor, HandshakeInterceptor {
    private static final String HANDSHAKE_DOES = Tokens.class.getName();

    private final boolean wanted;
    private final Set<String> valid = ConcurrentHashMap.newKeySet();

    public Tokens(@Value("${lab.auth:none}") String auth) {
        this.wanted = auth.equals("token");
    }

    String issue() {
        var token = UUID.randomUUID().toString();
        valid.add(token);
        return token;
    }

    /** Nobody is signed in any more. Living sessions stay. */
    void expire() {
        valid.clear();
    }

    @Override
    protected boolean shouldNotFilter(HttpServletRequest request) {
        var path = request.getServletPath();
        return !wanted || path.startsWith("/api/") || path.equals("/publish") || path.equals("/close");
    }

    @Override
    protected void doFilterInternal(HttpServletRequest request, HttpServletResponse response, FilterChain chain)
        throws ServletException, IOException {
        if (isValid(request.getHeader("Authorization")) || hasCookie(request)) {
            chain.doFilter(request, response);
        } else {
            response.sendError(HttpServletResponse.SC_UNAUTHORIZED);
        }
    }

    @Override
    public Message<?> preSend(Message<?> message, MessageChannel channel) {
        var headers = StompHeaderAccessor.wrap(message);
        var attributes = headers.getSessionAttributes();
        var unchecked = attributes == null || !attributes.containsKey(HANDSHAKE_DOES);
        if (wanted && unchecked && headers.getCommand() == StompCommand.CONNECT
            && !isValid(headers.getFirstNativeHeader("Authorization"))) {
            throw new MessagingException("not signed in");
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

    private boolean isValid(String authorization) {
        return authorization != null && authorization.startsWith("Bearer ") && valid.contains(authorization.substring(7));
    }

    private boolean hasCookie(HttpServletRequest request) {
        var cookies = request.getCookies() == null ? new Cookie[0] : request.getCookies();
        for (var cookie : cookies) {
            if (cookie.getName().equals("token") && valid.contains(cookie.getValue())) {
                return true;
            }
        }
        return false;
    }
}
