/* SPDX-License-Identifier: MIT
 *
 * Contexts by their settings, all of which make up the key: what a file held when it was read is part of them. */
#include "tls/context_cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct entry {
  struct list_node node;
  struct tls_context *context;
  size_t size;
  uint8_t key[];
};

void tls_context_cache_init(struct tls_context_cache *cache) {
  *cache = (struct tls_context_cache){0};
  list_init(&cache->entries);
}

static void context_cache_drop(struct tls_context_cache *cache, struct entry *entry) {
  list_remove(&entry->node);
  tls_context_unref(entry->context);
  free(entry);
  cache->count--;
}

void tls_context_cache_deinit(struct tls_context_cache *cache) {
  LIST_FOREACH(node, &cache->entries) { context_cache_drop(cache, LIST_OWNER(node, struct entry, node)); }
  free(cache->certificate);
  free(cache->key);
  cache->certificate = cache->key = NULL;
}

/* Each part stands behind its length, so that no two settings have one key. */
static void context_cache_enter(uint8_t **at, size_t *size, const void *bytes, size_t length) {
  if (*at != NULL) {
    memcpy(*at, &length, sizeof length);
    if (length > 0)
      memcpy(*at + sizeof length, bytes, length);
    *at += sizeof length + length;
  }
  *size += sizeof length + length;
}

static size_t part_length(const char *text) { return text != NULL ? strlen(text) : 0; }

/* Writes the key, or, with `at` NULL, only measures it. */
static size_t write_key(const struct tls_settings *settings, uint8_t *at) {
  size_t size = 0;
  int flags[] = {settings->is_server, settings->verify, settings->min_version, settings->authorities != NULL};
  context_cache_enter(&at, &size, flags, sizeof flags);
  context_cache_enter(&at, &size, settings->certificate, part_length(settings->certificate));
  context_cache_enter(&at, &size, settings->key, part_length(settings->key));
  context_cache_enter(&at, &size, settings->authorities, part_length(settings->authorities));
  context_cache_enter(&at, &size, settings->alpn, settings->alpn_size);
  return size;
}

static struct entry *entry_new(const struct tls_settings *settings) {
  size_t size = write_key(settings, NULL);
  struct entry *entry = calloc(1, sizeof *entry + size);
  if (entry == NULL)
    return NULL;
  entry->size = size;
  write_key(settings, entry->key);
  return entry;
}

static struct entry *context_cache_find(struct tls_context_cache *cache, const struct entry *like) {
  LIST_FOREACH(node, &cache->entries) {
    struct entry *entry = LIST_OWNER(node, struct entry, node);
    if (entry->size == like->size && memcmp(entry->key, like->key, like->size) == 0)
      return entry;
  }
  return NULL;
}

/* The certificate made for the occasion, where there has to be one. */
static int complete(struct tls_context_cache *cache, struct tls_settings *settings) {
  if (!settings->is_server || settings->certificate != NULL)
    return 0;
  int status = cache->certificate != NULL ? 0 : tls_self_signed("localhost", &cache->certificate, &cache->key);
  settings->certificate = cache->certificate;
  settings->key = cache->key;
  return status;
}

struct tls_context *tls_context_cache_get(struct tls_context_cache *cache, const struct tls_settings *wanted,
                                          struct error *error) {
  struct tls_settings settings = *wanted;
  struct entry *entry = complete(cache, &settings) == 0 ? entry_new(&settings) : NULL;
  if (entry == NULL) {
    error_set(error, ENOMEM, "no memory for TLS settings");
    return NULL;
  }
  struct entry *known = context_cache_find(cache, entry);
  if (known != NULL) {
    free(entry);
    list_remove(&known->node);
    entry = known;
  } else {
    entry->context = tls_context_new(&settings, error);
    if (entry->context == NULL) {
      free(entry);
      return NULL;
    }
    if (cache->count == TLS_CACHED_CONTEXTS)
      context_cache_drop(cache, LIST_OWNER(cache->entries.next, struct entry, node));
    cache->count++;
  }
  list_add_tail(&cache->entries, &entry->node);
  return tls_context_ref(entry->context);
}
