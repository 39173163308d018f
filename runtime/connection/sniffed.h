/* SPDX-License-Identifier: MIT
 *
 * What of a ClientHello is kept with its connection, for choosing its route, for functions that ask, for logs. */
#pragma once

#include "tls/client_hello.h"

/* One piece of the heap, its owner's to free(). */
struct sniffed {
  uint8_t version;     /* the highest that is offered, a bit of tls/version.h; 0: none that is known */
  uint8_t domain_size; /* 0: the client named none */
  bool has_ech;        /* the domain is that of the outer hello */
  uint16_t alpn_size;
  char text[]; /* the domain, ended by NUL, then the protocols that are offered, each behind its length */
};

/* NULL without memory. */
struct sniffed *sniffed_new(const struct client_hello *hello);

/* The server_name: lower case, no trailing dot. NULL when there is none; `sniffed` may be NULL. */
static inline const char *sniffed_domain(const struct sniffed *sniffed) {
  return sniffed && sniffed->domain_size ? sniffed->text : NULL;
}

static inline const uint8_t *sniffed_alpn(const struct sniffed *sniffed) {
  return (const uint8_t *)sniffed->text + sniffed->domain_size + 1;
}
