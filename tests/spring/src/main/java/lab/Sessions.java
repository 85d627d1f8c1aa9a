package lab;

import java.io.IOException;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import org.springframework.stereotype.Component;
import org.springframework.web.socket.CloseStatus;
import org.springframework.web.socket.WebSocketHandler;
import org.springframework.web.socket.WebSocketSession;
import org.springframework.web.socket.handler.WebSocketHandlerDecorator;
import org.springframework.web.socket.handler.WebSocketHandlerDecoratorFactory;

/** The living sessions, SockJS's included, to end them all from outside. A session ends with its token. */
@Component
public class Sessions implements WebSocketHandlerDecoratorFactory {
    private static final CloseStatus EXPIRED = new CloseStatus(1008, "token expired");

    private final Set<WebSocketSession> living = ConcurrentHashMap.newKeySet();
    private final ScheduledExecutorService ends = Executors.newSingleThreadScheduledExecutor();
    private final Tokens tokens;

    public Sessions(Tokens tokens) {
        this.tokens = tokens;
    }

    @Override
    public WebSocketHandler decorate(WebSocketHandler handler) {
        return new WebSocketHandlerDecorator(handler) {
            @Override
            public void afterConnectionEstablished(WebSocketSession session) throws Exception {
                living.add(session);
                var left = tokens.left(session.getHandshakeHeaders());
                if (left != null) {
                    ends.schedule(() -> expire(session), left.toMillis(), TimeUnit.MILLISECONDS);
                }
                super.afterConnectionEstablished(session);
            }

            @Override
            public void afterConnectionClosed(WebSocketSession session, CloseStatus status) throws Exception {
                living.remove(session);
                super.afterConnectionClosed(session, status);
            }
        };
    }

    private static void expire(WebSocketSession session) {
        try {
            session.close(EXPIRED);
        } catch (IOException gone) {
            // Its client was faster.
        }
    }

    void close(CloseStatus status) throws IOException {
        for (var session : living) {
            session.close(status);
        }
    }
}
