package lab;

import org.springframework.beans.factory.annotation.Value;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.security.config.Customizer;
import org.springframework.security.config.annotation.web.builders.HttpSecurity;
import org.springframework.security.core.userdetails.User;
import org.springframework.security.core.userdetails.UserDetailsService;
import org.springframework.security.provisioning.InMemoryUserDetailsManager;
import org.springframework.security.web.SecurityFilterChain;

/**
 * Spring Security. {@code lab.auth=form}: its own form login, at {@code /login}, before every endpoint, as it comes; {@code
 * lab.csrf}: whether the form wants its CSRF token. Otherwise it lets everything through.
 */
@Configuration
public class Security {
    private static final String[] OPEN = {"/publish", "/close", "/api/**"};
    /** Clients of SockJS send no token with what they post. */
    private static final String[] ENDPOINTS = {"/webSocketServer/**", "/streaming/**", "/polling/**"};

    private final boolean form;
    private final boolean csrf;

    public Security(@Value("${lab.auth:none}") String auth, @Value("${lab.csrf:false}") boolean csrf) {
        this.form = auth.equals("form");
        this.csrf = csrf;
    }

    @Bean
    SecurityFilterChain chain(HttpSecurity http) throws Exception {
        if (form && csrf) {
            http.csrf(csrf -> csrf.ignoringRequestMatchers(OPEN).ignoringRequestMatchers(ENDPOINTS));
        } else {
            http.csrf(csrf -> csrf.disable());
        }
        if (form) {
            http.formLogin(Customizer.withDefaults())
                .authorizeHttpRequests(all -> all.requestMatchers(OPEN).permitAll().anyRequest().authenticated());
        } else {
            http.authorizeHttpRequests(all -> all.anyRequest().permitAll());
        }
        return http.build();
    }

    @Bean
    UserDetailsService users() {
        return new InMemoryUserDetailsManager(User.withUsername("bridge").password("{noop}lab-password").roles("USER").build());
    }
}
