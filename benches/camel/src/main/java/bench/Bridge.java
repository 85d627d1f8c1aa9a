package bench;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import org.apache.camel.Exchange;
import org.apache.camel.builder.RouteBuilder;
import org.apache.camel.component.paho.PahoConstants;
import org.apache.camel.main.Main;
import org.fusesource.hawtbuf.Buffer;

/**
 * STOMP to MQTT in one route: java -jar bridge.jar HOST PORT QUEUE LOGIN PASSCODE MQTT-URL.
 * camel-stomp subscribes without acknowledging: a message that the broker has not confirmed when
 * this ends is lost.
 */
public final class Bridge extends RouteBuilder {
    private final String source;
    private final String destination;
    private final ObjectMapper json = new ObjectMapper();

    private Bridge(String[] arguments) {
        source = "stomp:" + arguments[2] + "?brokerURL=tcp://" + arguments[0] + ":" + arguments[1]
            + "&host=/&login=" + arguments[3] + "&passcode=RAW(" + arguments[4] + ")";
        destination = "paho:devices?brokerUrl=" + arguments[5]
            + "&qos=1&retained=true&maxInflight=1000";
    }

    @Override
    public void configure() {
        from(source).process(this::address).to(destination);
    }

    private void address(Exchange exchange) throws Exception {
        byte[] body = exchange.getMessage().getBody(Buffer.class).toByteArray();
        JsonNode status = json.readTree(body);
        String topic = "devices/" + status.get("clientId").asText() + "/"
            + status.get("deviceId").asText() + "/status";
        exchange.getMessage().setBody(body);
        exchange.getMessage().setHeader(PahoConstants.CAMEL_PAHO_OVERRIDE_TOPIC, topic);
    }

    public static void main(String[] arguments) throws Exception {
        Main main = new Main();
        main.configure().addRoutesBuilder(new Bridge(arguments));
        main.run();
    }
}
