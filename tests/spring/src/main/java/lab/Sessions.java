package lab;

import java.io.IOException;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.springframework.stereotype.Component;
import org.springframework.web.socket.CloseStatus;
import org.springframework.web.socket.WebSocketHandler;
import org.springframework.web.socket.WebSocketSession;
import org.springframework.web.socket.handler.WebSocketHandlerDecorator;
import org.springframework.web.socket.handler.WebSocketHandlerDecoratorFactory;

/** The living sessions, SockJS's included, to end them all from outside. */
@Component
public class Sessions implements WebSocketHandlerDecoratorFactory {
    private final Set<WebSocketSession> living = ConcurrentHashMap.newKeySet();

    @Override
    public WebSocketHandler decorate(WebSocketHandler handler) {
        return new WebSocketHandlerDecorator(handler) {
            @Override
            public void afterConnectionEstablished(WebSocketSession session) throws Exception {
                living.add(session);
                super.afterConnectionEstablished(session);
            }

            @Override
            public void afterConnectionClosed(WebSocketSession session, CloseStatus status) throws Exception {
                living.remove(session);
                super.afterConnectionClosed(session, status);
            }
        };
    }

    void close(CloseStatus status) throws IOException {
        for (var session : living) {
            session.close(status);
        }
    }
}
