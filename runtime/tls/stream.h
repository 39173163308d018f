/* SPDX-License-Identifier: MIT
 *
 * TLS as a kind of stream (net/stream.h), by OpenSSL: put over an open socket's stream, it is read, written, shut down
 * and closed as before. The wire is still counted at the socket, TLS's own bytes included.
 *
 * What differs from a socket: bytes that are written count as taken once they are encrypted; what the socket has no
 * room for is held (at most a record, and what the handshake says) and goes out by itself. The end is close_notify (RFC
 * 8446 section 6.1): a socket that ends without it gives -ENODATA, so that truncation never looks like an end. The kind
 * can't be spliced. Not a goal: renegotiation, resumption of sessions, early data. */
#pragma once

#include "net/stream.h"
#include "tls/context.h"

/* Failures, besides those of the socket:
 * -EPROTO: the handshake, or a record, is not as it must be (tls_stream_detail() has why);
 * -EKEYREJECTED: the peer's certificate is not to be trusted, or it has none;
 * -ENODATA: it ended without close_notify. The first one stays. */

/* Begins TLS on an open socket's stream, as the context is a server's or a client's. What stands in its `unread` is
 * taken for what the peer sends. `server_name` (a client's; else NULL): the name or literal address that is asked for
 * and, where the context verifies, must be the certificate's. Takes a reference on the context. Nothing is sent before
 * the first handshake, read or write. 0 or a negative errno, and then the stream is as it was. */
int tls_stream_start(struct stream *stream, struct tls_context *context, const char *server_name);

/* True where tls_stream_start() was called. */
bool tls_stream_is(const struct stream *stream);

/* Goes on with the handshake: 0 when it is done, WANT_READ or WANT_WRITE, or a negative errno. Reading and writing do
 * it too, for who needs not know. */
int tls_stream_handshake(struct stream *stream);

/* Why it failed, in OpenSSL's words; NULL when there is no more to say. */
const char *tls_stream_detail(const struct stream *stream);

/* What was agreed upon; valid as long as the stream is. Before the end of the handshake most of it is NULL. */
struct tls_agreement {
  const char *version;     /* "TLSv1.3" */
  const char *cipher;      /* OpenSSL's name */
  const char *server_name; /* as the client asked for it; NULL: it did not */
  const uint8_t *alpn;     /* the protocol; NULL: none */
  size_t alpn_size;
  bool peer_verified; /* the peer has shown a certificate, and it was found good */
};
void tls_stream_agreement(const struct stream *stream, struct tls_agreement *agreement);

/* Writes the subject of the peer's certificate as RFC 2253 has it ("CN=client,O=x"), cut to `size`; false when it has
 * shown none. */
bool tls_stream_peer_subject(const struct stream *stream, char *text, size_t size);

/* Copies the common name of the peer's certificate (RFC 5280 section 4.1.2.4), in UTF-8 and without a NUL. Its size; 0
 * when it has none, or one of more than `size` bytes: half a name is another's. */
size_t tls_stream_peer_name(const struct stream *stream, char *text, size_t size);

extern const struct stream_ops tls_stream_ops;
