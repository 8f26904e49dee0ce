import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import javax.servlet.http.HttpServlet;
import javax.servlet.http.HttpServletRequest;
import javax.servlet.http.HttpServletResponse;
import org.apache.catalina.Context;
import org.apache.catalina.connector.Connector;
import org.apache.catalina.startup.Tomcat;

/**
 * Tomcat with its key in the HSM, configured with the attributes that AWS's guide gives the connector in server.xml:
 * {@code POSITION STORE FOLDER ALIAS...}. Says each alias and its port, then {@code ready}.
 */
final class Web {
    private Web() {}

    public static void main(String[] arguments) throws Exception {
        Hsm.register(arguments[0]);
        Tomcat tomcat = new Tomcat();
        tomcat.setBaseDir(arguments[2]);
        Context root = tomcat.addContext("", arguments[2]);
        Tomcat.addServlet(root, "greeting", new Greeting()).addMapping("/");
        List<Connector> connectors = new ArrayList<>();
        for (int i = 3; i < arguments.length; i++) {
            connectors.add(connector(arguments[1], arguments[i]));
            tomcat.getService().addConnector(connectors.get(connectors.size() - 1));
        }
        tomcat.start();
        for (int i = 3; i < arguments.length; i++) {
            System.out.println(arguments[i] + " " + connectors.get(i - 3).getLocalPort());
        }
        System.out.println("ready");
        tomcat.getServer().await();
    }

    private static Connector connector(String store, String alias) {
        Connector connector = new Connector();
        connector.setPort(0);
        connector.setScheme("https");
        connector.setSecure(true);
        connector.setProperty("maxThreads", "20");
        connector.setProperty("SSLEnabled", "true");
        connector.setProperty("keystoreType", "CLOUDHSM");
        connector.setProperty("keystoreFile", store);
        connector.setProperty("keystorePass", new String(Hsm.STORE_PASSWORD));
        connector.setProperty("keyPass", new String(Hsm.STORE_PASSWORD));
        connector.setProperty("keyAlias", alias);
        connector.setProperty("clientAuth", "false");
        connector.setProperty("sslProtocol", "TLS");
        return connector;
    }

    private static final class Greeting extends HttpServlet {
        private static final long serialVersionUID = 1L;

        @Override
        protected void doGet(HttpServletRequest request, HttpServletResponse response) throws IOException {
            response.getWriter().println("served over " + request.getScheme());
        }
    }
}
