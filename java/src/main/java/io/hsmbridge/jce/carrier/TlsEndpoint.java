package io.hsmbridge.jce.carrier;

import io.hsmbridge.jce.settings.Settings;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.SocketTimeoutException;
import java.net.StandardSocketOptions;
import java.nio.channels.SelectionKey;
import java.nio.channels.SocketChannel;
import java.time.Duration;
import javax.net.ssl.SSLEngine;

/** The TCP port of an HSM, which speaks TLS 1.3. */
final class TlsEndpoint implements Endpoint {
    /** Longest wait for a connection and for each step of the handshake. */
    private static final Duration MOST = Duration.ofSeconds(10);

    private final Settings.Server server;
    private final TlsIdentity identity;

    TlsEndpoint(Settings.Server server, TlsIdentity identity) {
        this.server = server;
        this.identity = identity;
    }

    @Override
    public SocketLink open(Duration limit) throws IOException {
        Duration shorter = limit.compareTo(MOST) < 0 ? limit : MOST;
        OwnTls.enter();
        try {
            return opened(shorter, limit);
        } catch (SocketTimeoutException e) {
            throw e;
        } catch (IOException e) {
            throw new NoHsmException("No HSM answers at " + address() + ": " + TlsRefusal.reason(e, identity)
                    + ". `hsm start --listen` starts one there.", e, true);
        } finally {
            OwnTls.leave();
        }
    }

    private SocketLink opened(Duration shorter, Duration limit) throws IOException {
        InetSocketAddress address = new InetSocketAddress(server.host(), (int) server.port());
        if (address.isUnresolved()) {
            throw new IOException("no address is known for this host");
        }
        SocketChannel channel = SocketChannel.open();
        boolean opened = false;
        try {
            channel.configureBlocking(false);
            channel.setOption(StandardSocketOptions.TCP_NODELAY, true);
            channel.setOption(StandardSocketOptions.SO_KEEPALIVE, true);
            SSLEngine engine = identity.engine(server.host(), (int) server.port());
            TlsStream stream = new TlsStream(channel, engine);
            SocketLink link = new SocketLink(stream, describe(), shorter);
            try {
                if (!channel.connect(address)) {
                    link.await(SelectionKey.OP_CONNECT);
                    channel.finishConnect();
                }
                stream.handshake(link::await);
                identity.requireName(engine.getSession(), server.host());
                link.limit(limit);
                opened = true;
                return link;
            } finally {
                if (!opened) {
                    link.close();
                }
            }
        } finally {
            if (!opened) {
                channel.close();
            }
        }
    }

    private String address() {
        return server.host() + ":" + server.port();
    }

    @Override
    public String describe() {
        return "the HSM at " + address();
    }
}
