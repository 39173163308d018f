/* SPDX-License-Identifier: MIT
 *
 * What context.c and stream.c share. */
#pragma once

#include <openssl/bio.h>

/* How OpenSSL reaches the socket under a TLS stream. NULL without memory. */
BIO_METHOD *tls_socket_method_new(void);
