/* SPDX-License-Identifier: MIT
 *
 * What many TLS connections have in common: certificate, trusted authorities, versions, protocols. An OpenSSL SSL_CTX,
 * immutable once it is made, and reference-counted, so that any thread may use it. Sessions are not resumed here. */
#pragma once

#include "core/error.h"

#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tls_settings {
  bool is_server;
  bool verify;             /* the peer must show a certificate that `authorities` vouch for */
  const char *certificate; /* PEM, with its chain behind it; NULL for a client without one */
  const char *key;         /* PEM; NULL only without a certificate */
  const char *authorities; /* PEM; NULL: the system's */
  int min_version;         /* TLS1_2_VERSION, TLS1_3_VERSION; 0: TLS 1.2 */
  const uint8_t *alpn;     /* protocols, as RFC 7301 section 3.1 lists them; the first is preferred. NULL: none */
  size_t alpn_size;
};

struct tls_context {
  atomic_uint references;
  SSL_CTX *ssl;
  BIO_METHOD *method; /* of the sockets under it (tls/stream.c) */
  uint8_t *alpn;
  size_t alpn_size;
};

/* Nothing of `settings` is kept. One reference. NULL: see `error`, whose place names the setting ("certificate", "key",
 * "authorities", "alpn"; "" when it is none's fault). */
struct tls_context *tls_context_new(const struct tls_settings *settings, struct error *error);
struct tls_context *tls_context_ref(struct tls_context *context);
void tls_context_unref(struct tls_context *context); /* NULL is nothing */

/* A key (ECDSA P-256) and a certificate that it has signed itself, for 30 days from now, as PEM that the caller frees.
 * For where there is no certificate yet: it protects against who listens, not against who stands in the middle. 0 or a
 * negative errno. */
int tls_self_signed(const char *name, char **certificate, char **key);
