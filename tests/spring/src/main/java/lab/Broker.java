package lab;

import org.springframework.beans.factory.annotation.Value;
import org.springframework.context.annotation.Configuration;
import org.springframework.messaging.simp.config.ChannelRegistration;
import org.springframework.messaging.simp.config.MessageBrokerRegistry;
import org.springframework.scheduling.concurrent.ThreadPoolTaskScheduler;
import org.springframework.web.socket.config.annotation.EnableWebSocketMessageBroker;
import org.springframework.web.socket.config.annotation.StompEndpointRegistry;
import org.springframework.web.socket.config.annotation.WebSocketMessageBrokerConfigurer;
import org.springframework.web.socket.config.annotation.WebSocketTransportRegistration;
import org.springframework.web.socket.sockjs.transport.handler.XhrPollingTransportHandler;
import org.springframework.web.socket.sockjs.transport.handler.XhrReceivingTransportHandler;

/**
 * The simple broker and its endpoints. {@code lab.heartbeat}: milliseconds; 0, Spring's default, is none.
 * {@code lab.relay}: the STOMP port of a broker to relay to, in the place of the simple one.
 */
@Configuration
@EnableWebSocketMessageBroker
public class Broker implements WebSocketMessageBrokerConfigurer {
    private final long heartbeat;
    private final int relay;
    private final Sessions sessions;
    private final Tokens tokens;

    public Broker(@Value("${lab.heartbeat:0}") long heartbeat, @Value("${lab.relay:0}") int relay,
            Sessions sessions, Tokens tokens) {
        this.heartbeat = heartbeat;
        this.relay = relay;
        this.sessions = sessions;
        this.tokens = tokens;
    }

    @Override
    public void configureMessageBroker(MessageBrokerRegistry registry) {
        if (relay > 0) {
            registry.enableStompBrokerRelay("/topic").setRelayHost("127.0.0.1").setRelayPort(relay)
                .setClientLogin("lab").setClientPasscode("lab-password")
                .setSystemLogin("lab").setSystemPasscode("lab-password");
            return;
        }
        var broker = registry.enableSimpleBroker("/topic");
        if (heartbeat > 0) {
            var scheduler = new ThreadPoolTaskScheduler();
            scheduler.initialize();
            broker.setTaskScheduler(scheduler).setHeartbeatValue(new long[] {heartbeat, heartbeat});
        }
    }

    @Override
    public void registerStompEndpoints(StompEndpointRegistry registry) {
        registry.addEndpoint("/webSocketServer").withSockJS();
        // A mini-program's CONNECT has no headers.
        registry.addEndpoint("/wxServer").addInterceptors(tokens);
        // The same for clients that a proxy leaves nothing better.
        registry.addEndpoint("/streaming").withSockJS().setWebSocketEnabled(false);
        registry.addEndpoint("/polling").withSockJS().setWebSocketEnabled(false)
            .setTransportHandlers(new XhrPollingTransportHandler(), new XhrReceivingTransportHandler());
    }

    @Override
    public void configureWebSocketTransport(WebSocketTransportRegistration registry) {
        registry.addDecoratorFactory(sessions);
    }

    @Override
    public void configureClientInboundChannel(ChannelRegistration registration) {
        registration.interceptors(tokens);
    }
}
