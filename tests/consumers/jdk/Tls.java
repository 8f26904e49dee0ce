import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLServerSocket;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManagerFactory;

/**
 * Both sides of TLS with JSSE as it comes, authenticated by keys of the HSM.
 *
 * <p>{@code server POSITION STORE PEERS}: a port for each kind of key manager; says which, then {@code ready}.
 * {@code client POSITION STORE PEERS PORT...}: gets a page from each port with each kind of key
 * manager, and prints it. PEERS are trusted certificates, PEM.
 */
final class Tls {
    private static final String[] KEY_MANAGERS = {"PKIX", "SunX509"};

    private Tls() {}

    public static void main(String[] arguments) throws Exception {
        Hsm.register(arguments[1]);
        KeyStore store = Hsm.keyStore(arguments[2]);
        for (String kind : KEY_MANAGERS) {
            SSLContext context = context(kind, store, Path.of(arguments[3]));
            if (arguments[0].equals("server")) {
                System.out.println(kind + " " + serve(context));
            } else {
                for (int i = 4; i < arguments.length; i++) {
                    System.out.println(get(context, Integer.parseInt(arguments[i])));
                }
            }
        }
        if (arguments[0].equals("server")) {
            System.out.println("ready");
            System.in.read();
        }
    }

    private static SSLContext context(String kind, KeyStore store, Path peers) throws Exception {
        KeyManagerFactory keys = KeyManagerFactory.getInstance(kind);
        keys.init(store, Hsm.STORE_PASSWORD);
        TrustManagerFactory trust = TrustManagerFactory.getInstance("PKIX");
        trust.init(trusted(peers));
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keys.getKeyManagers(), trust.getTrustManagers(), null);
        return context;
    }

    private static KeyStore trusted(Path peers) throws Exception {
        KeyStore store = KeyStore.getInstance("PKCS12");
        store.load(null, null);
        try (InputStream in = Files.newInputStream(peers)) {
            for (Certificate each : CertificateFactory.getInstance("X.509").generateCertificates(in)) {
                store.setCertificateEntry("peer" + store.size(), each);
            }
        }
        return store;
    }

    private static int serve(SSLContext context) throws IOException {
        SSLServerSocket server = (SSLServerSocket) context.getServerSocketFactory().createServerSocket(0);
        server.setNeedClientAuth(true);
        Thread thread = new Thread(() -> accept(server));
        thread.setDaemon(true);
        thread.start();
        return server.getLocalPort();
    }

    private static void accept(SSLServerSocket server) {
        while (true) {
            try (SSLSocket socket = (SSLSocket) server.accept()) {
                String line = new BufferedReader(new InputStreamReader(socket.getInputStream(), StandardCharsets.UTF_8)).readLine();
                String answer = line + " from " + socket.getSession().getPeerPrincipal() + "\n";
                socket.getOutputStream().write(answer.getBytes(StandardCharsets.UTF_8));
            } catch (IOException e) {
                e.printStackTrace();
            }
        }
    }

    private static String get(SSLContext context, int port) throws IOException {
        try (SSLSocket socket = (SSLSocket) context.getSocketFactory().createSocket("localhost", port)) {
            socket.getOutputStream().write("GET / HTTP/1.0\r\n\r\n".getBytes(StandardCharsets.UTF_8));
            return new String(socket.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        }
    }
}
