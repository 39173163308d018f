/* SPDX-License-Identifier: MIT
 *
 * What context.c, stream.c and agreement.c share. */
#pragma once

#include <openssl/bio.h>
#include <openssl/ssl.h>

/* How OpenSSL reaches the socket under a TLS stream. NULL without memory. */
BIO_METHOD *tls_socket_method_new(void);

/* Of a TLS stream; its own. */
struct stream;
SSL *tls_stream_ssl(const struct stream *stream);
