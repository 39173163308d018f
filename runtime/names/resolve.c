/* SPDX-License-Identifier: MIT
 *
 * Requests, and who of them is answered when. What c-ares calls back only notes the answer: requests are called once it
 * is off the stack, so that what they do can never reach into it. Asking is names/resolve_lookup.c's. */
#include "names/resolve.h"

#include "names/resolve_answer.h"
#include "names/resolve_lookup.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
  DEFAULT_TIMEOUT_MS = 2000,
  DEFAULT_TRIES = 2,
  DEFAULT_DELAY_MS = 50,
  LONGEST_TIMEOUT_MS = 60 * 1000, /* c-ares doubles it for each further try */
  MOST_TRIES = 10,
  DEFAULT_CACHE_ENTRIES = 1024,
  DEFAULT_MIN_TTL_MS = 1000,
  DEFAULT_MAX_TTL_MS = 3600 * 1000,
};

struct resolve_request {
  struct list_node place; /* in its lookup's list, or that of those who are being called */
  resolve_done_fn *done;
  void *context;
};

/* Of what is known now. False: that is nothing, and the answer is still to come. */
static bool lookup_result(const struct resolve_lookup *lookup, struct resolve_result *result) {
  struct resolver *resolver = lookup->resolver;
  enum host_state state =
      host_table_peek(resolver->table, lookup->name, lookup->size, clock_now(resolver->loop->clock), result);
  if (state == HOST_KNOWN || state == HOST_EXPIRED)
    return true;
  result->count = 0;
  if (state != HOST_FAILED)
    result->status = lookup->status ? lookup->status : -EAGAIN;
  return lookup->phase == LOOKUP_OVER;
}

/* Those who are waiting now; who comes while they are called is not among them. */
static void answer_requests(struct resolve_lookup *lookup) {
  struct resolve_result result;
  if (list_is_empty(&lookup->requests) || !lookup_result(lookup, &result))
    return;
  struct list_node called;
  list_init(&called);
  called.next = lookup->requests.next;
  called.previous = lookup->requests.previous;
  called.next->previous = called.previous->next = &called;
  list_init(&lookup->requests);
  while (!list_is_empty(&called)) {
    struct resolve_request *request = LIST_OWNER(called.next, struct resolve_request, place);
    list_remove(&request->place);
    resolve_done_fn *done = request->done;
    void *context = request->context;
    free(request);
    done(context, &result);
  }
}

static uint32_t option_or(uint32_t value, uint32_t preset, uint32_t most) {
  return value == 0 ? preset : value < most ? value : most;
}

static unsigned asks_of(enum resolve_family family) {
  return family == RESOLVE_IPV4 ? HOST_ASK_IPV4 : family == RESOLVE_IPV6 ? HOST_ASK_IPV6 : HOST_ASK_ALL;
}

struct host_table *resolver_table_new(const struct resolver_options *options) {
  struct host_table_options table = {.capacity = option_or(options->cache_entries, DEFAULT_CACHE_ENTRIES, UINT32_MAX),
                                     .asks = asks_of(options->family),
                                     .min_ttl_ms = option_or(options->min_ttl_ms, DEFAULT_MIN_TTL_MS, UINT32_MAX),
                                     .max_ttl_ms = option_or(options->max_ttl_ms, DEFAULT_MAX_TTL_MS, UINT32_MAX),
                                     .stale_ms = options->stale_ms};
  struct dns_files *files = dns_files_read(options->resolv_conf, options->hosts);
  struct host_table *made = files ? host_table_new(&table, files) : NULL;
  dns_files_unref(files);
  return made;
}

struct resolver *resolver_new(struct loop *loop, const struct resolver_options *options, struct error *error) {
  static const struct resolver_options defaults;
  if (!options)
    options = &defaults;
  struct resolver *resolver = calloc(1, sizeof *resolver);
  struct host_table *table = options->table ? host_table_ref(options->table) : resolver_table_new(options);
  if (!resolver || !table) {
    free(resolver);
    host_table_unref(table);
    error_set(error, ENOMEM, "not enough memory for a resolver");
    return NULL;
  }
  resolver->loop = loop;
  resolver->table = table;
  resolver->log = options->log;
  resolver->answer = answer_requests;
  resolver->asks = asks_of(options->family);
  resolver->delay_ms = option_or(options->delay_ms, DEFAULT_DELAY_MS, UINT32_MAX);
  int status = resolve_lookups_init(resolver);
  if (status != 0) {
    error_set(error, -status, "cannot start the resolver: %s", strerror(-status));
    resolver_free(resolver);
    return NULL;
  }
  struct dns_files *files = host_table_files(table, &resolver->serial);
  status = resolve_channels_init(&resolver->channels, loop, options->servers,
                                 (int)option_or(options->timeout_ms, DEFAULT_TIMEOUT_MS, LONGEST_TIMEOUT_MS),
                                 (int)option_or(options->tries, DEFAULT_TRIES, MOST_TRIES), files, error);
  dns_files_unref(files);
  if (status == 0)
    return resolver;
  resolver_free(resolver);
  return NULL;
}

struct host_table *resolver_table(struct resolver *resolver) {
  return resolver->table;
}

static void drop_requests(struct list_node *requests) {
  LIST_FOREACH(node, requests) {
    list_remove(node);
    free(LIST_OWNER(node, struct resolve_request, place));
  }
}

void resolver_free(struct resolver *resolver) {
  if (!resolver)
    return;
  assert(!resolver->delivering);
  resolve_channels_deinit(&resolver->channels);
  resolve_lookups_deinit(resolver, drop_requests);
  host_table_unref(resolver->table);
  free(resolver);
}

static void use_files(struct resolver *resolver) {
  if (resolver->serial == host_table_serial(resolver->table))
    return;
  struct dns_files *files = host_table_files(resolver->table, &resolver->serial);
  resolve_channels_set_files(&resolver->channels, files);
  dns_files_unref(files);
}

/* What is neither known nor a literal: localhost, the hosts file. */
static bool find_in_files(struct resolver *resolver, const char *name, size_t size, struct resolve_result *result) {
  const struct dns_host *host = dns_files_host(resolver->channels.files, name, size);
  return host && resolve_result_from(result, host->addresses, host->count, resolver->asks);
}

static bool answer_localhost(const struct resolver *resolver, const char *name, size_t size,
                             struct resolve_result *result) {
  if (!resolve_name_is_localhost(name, size))
    return false;
  union host_address both[2];
  memset(both, 0, sizeof both);
  both[0].in = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  both[1].in6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
  resolve_result_from(result, &both[0], 1, resolver->asks);
  struct resolve_result second;
  if (resolve_result_from(&second, &both[1], 1, resolver->asks))
    result->addresses[result->count++] = second.addresses[0];
  return true;
}

/* Joins those who wait for the name, or is the first of them. NULL: `result` is the answer. */
static struct resolve_request *wait_for(struct resolver *resolver, const char *name, size_t size, bool has_expired,
                                        unsigned ask, struct resolve_result *result, resolve_done_fn *done,
                                        void *context) {
  struct resolve_lookup *lookup = resolve_lookup_find(resolver, name, size);
  int status = lookup || has_expired ? 0 : host_table_ask(resolver->table, name, size, loop_now(resolver->loop));
  struct resolve_request *request = status == 0 ? malloc(sizeof *request) : NULL;
  if (!has_expired)
    ask = lookup ? resolver->asks & ~lookup->asks : resolver->asks;
  if (request && (!lookup || ask))
    lookup = resolve_lookup_start(resolver, name, size, ask, false);
  if (!request || !lookup || (has_expired && lookup->overdue)) {
    free(request);
    if (!has_expired)
      *result = (struct resolve_result){.status = status ? status : -ENOMEM};
    return NULL;
  }
  *request = (struct resolve_request){.done = done, .context = context};
  list_add_tail(&lookup->requests, &request->place);
  resolve_lookup_hurry(lookup, has_expired ? HOST_EXPIRED_WAIT_MS : 0);
  return request;
}

/* What is not simply known. */
static struct resolve_request *start_asking(struct resolver *resolver, const char *name, size_t size,
                                            enum host_state state, unsigned ask, struct resolve_result *result,
                                            resolve_done_fn *done, void *context) {
  use_files(resolver);
  if (state == HOST_UNKNOWN || state == HOST_UNCHECKED) {
    if (find_in_files(resolver, name, size, result)) {
      done(context, result);
      return NULL;
    }
    if (state == HOST_UNCHECKED) {
      host_table_confirm(resolver->table, name, size, loop_now(resolver->loop));
      state = host_table_find(resolver->table, name, size, loop_now(resolver->loop), result, &ask);
    }
  }
  struct resolve_request *request = NULL;
  if (state == HOST_EXPIRED || state == HOST_UNKNOWN)
    request = wait_for(resolver, name, size, state == HOST_EXPIRED, ask, result, done, context);
  else if (state == HOST_UNCHECKED) /* the files have changed once more, just now */
    *result = (struct resolve_result){.status = -EAGAIN};
  else if (ask)
    resolve_lookup_start(resolver, name, size, ask, true);
  if (!request)
    done(context, result);
  return request;
}

struct resolve_request *resolve_start(struct resolver *resolver, const char *name, resolve_done_fn *done,
                                      void *context) {
  char normal[RESOLVE_NAME_MAX + 1];
  struct resolve_result result;
  if (endpoint_from_literal(&result.addresses[0], name, 0) == 0) {
    result.status = 0;
    result.count = 1;
    done(context, &result);
    return NULL;
  }
  int length = resolve_name_normalize(name, normal);
  result.status = length < 0 ? length : 0;
  result.count = 0;
  if (length < 0 || answer_localhost(resolver, normal, (size_t)length, &result)) {
    done(context, &result);
    return NULL;
  }
  unsigned ask;
  enum host_state state =
      host_table_find(resolver->table, normal, (size_t)length, loop_now(resolver->loop), &result, &ask);
  if (state == HOST_FAILED || (state == HOST_KNOWN && !ask)) {
    done(context, &result);
    return NULL;
  }
  return start_asking(resolver, normal, (size_t)length, state, ask, &result, done, context);
}

void resolve_cancel(struct resolve_request *request) {
  if (!request)
    return;
  list_remove(&request->place);
  free(request);
}
