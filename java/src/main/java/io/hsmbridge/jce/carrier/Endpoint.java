package io.hsmbridge.jce.carrier;

import java.io.IOException;
import java.time.Duration;

/** The place of one HSM: opens connections to it. */
interface Endpoint {
    /**
     * Returns a new connection.
     *
     * @param limit time limit for each wait
     * @throws java.net.SocketTimeoutException if the HSM does not accept the connection within the limit
     * @throws NoHsmException if there is no HSM, or the connection is refused
     */
    SocketLink open(Duration limit) throws IOException;

    /** Returns the name of the HSM in messages. */
    String describe();
}
