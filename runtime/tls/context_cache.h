/* SPDX-License-Identifier: MIT
 *
 * The contexts that scripts ask for by their settings, connection after connection: made once, and kept up to a number,
 * of which the least recently used goes. One thread owns a cache. */
#pragma once

#include "core/list.h"
#include "tls/context.h"

enum { TLS_CACHED_CONTEXTS = 64 };

/* Begun by tls_context_cache_init(). */
struct tls_context_cache {
  struct list_node entries; /* the least recently used first */
  unsigned count;
  char *certificate, *key; /* the one made for the occasion; NULL until it is needed */
};

void tls_context_cache_init(struct tls_context_cache *cache);
void tls_context_cache_deinit(struct tls_context_cache *cache);

/* As tls_context_new() with what is `wanted`, and with a reference for the caller; a server without a certificate gets
 * one made for the occasion, the same each time. */
struct tls_context *tls_context_cache_get(struct tls_context_cache *cache, const struct tls_settings *wanted,
                                          struct error *error);
