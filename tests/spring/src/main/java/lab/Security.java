package lab;

import java.util.function.UnaryOperator;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.http.HttpStatus;
import org.springframework.security.authorization.AuthorizationDecision;
import org.springframework.security.config.Customizer;
import org.springframework.security.config.annotation.web.builders.HttpSecurity;
import org.springframework.security.core.userdetails.User;
import org.springframework.security.core.userdetails.UserDetailsService;
import org.springframework.security.provisioning.InMemoryUserDetailsManager;
import org.springframework.security.web.SecurityFilterChain;
import org.springframework.security.web.util.matcher.RequestMatcher;

/**
 * Spring Security. {@code lab.auth}: {@code form} is its own form login, at {@code /login}, before every endpoint, as it
 * comes; {@code token} is the check of {@link Tokens}; {@code none} lets everything through. {@code lab.csrf}: whether the
 * form wants its CSRF token.
 *
 * <p>No class here names the servlet API, which has another package in Spring Boot 2 and 3.
 */
@Configuration
public class Security {
    private static final RequestMatcher OPEN = paths("/publish", "/close", "/api/");
    /** Where what an answer says of an error is written. */
    private static final RequestMatcher ERROR = paths("/error");
    /** Clients of SockJS send no token with what they post. */
    private static final RequestMatcher ENDPOINTS = paths("/webSocketServer/", "/streaming/", "/polling/");

    private final String auth;
    private final boolean csrf;
    private final Tokens tokens;

    public Security(@Value("${lab.auth:none}") String auth, @Value("${lab.csrf:false}") boolean csrf, Tokens tokens) {
        this.auth = auth;
        this.csrf = csrf;
        this.tokens = tokens;
    }

    private static RequestMatcher paths(String... starts) {
        return request -> {
            for (var start : starts) {
                if (request.getRequestURI().startsWith(start)) {
                    return true;
                }
            }
            return false;
        };
    }

    @Bean
    SecurityFilterChain chain(HttpSecurity http) throws Exception {
        if (auth.equals("form") && csrf) {
            http.csrf(csrf -> csrf.ignoringRequestMatchers(OPEN, ENDPOINTS));
        } else {
            http.csrf(csrf -> csrf.disable());
        }
        switch (auth) {
            case "form" -> http.formLogin(Customizer.withDefaults())
                .authorizeHttpRequests(all -> all.requestMatchers(OPEN).permitAll().anyRequest().authenticated());
            case "token" -> http
                .exceptionHandling(refusal -> refusal.authenticationEntryPoint(
                    (request, response, exception) -> response.sendError(HttpStatus.UNAUTHORIZED.value())))
                .authorizeHttpRequests(all -> all.requestMatchers(OPEN, ERROR).permitAll().anyRequest()
                    .access((user, context) -> new AuthorizationDecision(hasToken(context.getRequest()::getHeader))));
            default -> http.authorizeHttpRequests(all -> all.anyRequest().permitAll());
        }
        return http.build();
    }

    /** As {@code Authorization: Bearer}, or as the cookie {@code token}. */
    private boolean hasToken(UnaryOperator<String> header) {
        return tokens.isBearer(header.apply("Authorization")) || tokens.isInCookies(header.apply("Cookie"));
    }

    @Bean
    UserDetailsService users() {
        return new InMemoryUserDetailsManager(User.withUsername("bridge").password("{noop}lab-password").roles("USER").build());
    }
}
