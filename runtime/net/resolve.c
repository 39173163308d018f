/* SPDX-License-Identifier: MIT
 *
 * Requests, and c-ares on the loop. Its callbacks only note the answer: requests are called once c-ares is off the
 * stack, so that what they do can never reach into it. */
#include "net/resolve.h"

#include "net/resolve_private.h"

#include <ares.h>
#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/time.h>

enum {
  DEFAULT_TIMEOUT_MS = 2000,
  DEFAULT_TRIES = 2,
  LONGEST_TIMEOUT_MS = 60 * 1000, /* c-ares doubles it for each further try */
  MOST_TRIES = 10,
  DEFAULT_CACHE_ENTRIES = 1024,
  DEFAULT_NEGATIVE_TTL_S = 5,
  DEFAULT_MAX_TTL_S = 3600,
  FILE_TTL_S = 5, /* of what /etc/hosts says, which c-ares reads each time */
};

struct resolve_socket {
  struct list_node place;
  struct resolver *resolver;
  int fd; /* -1: not used */
  struct event event;
};

struct resolve_request {
  struct list_node place; /* in its entry's list */
  resolve_done_fn *done;
  void *context;
};

struct resolver {
  struct loop *loop;
  ares_channel channel;
  struct resolve_cache cache;
  uint32_t negative_ttl_s, max_ttl_s;
  struct resolve_entry *starting; /* whose query is being started: an answer now is not from the network */
  struct list_node answered;      /* entries whose requests are to be called */
  struct list_node sockets;       /* c-ares's, and used ones: nothing is freed in its own event */
  struct wheel_timer timer;
  struct deferred delivery;
  bool delivering;
};

static void on_dns_answer(void *argument, int status, int timeouts, struct ares_addrinfo *info) {
  struct resolve_entry *entry = argument;
  struct resolver *resolver = entry->resolver;
  (void)timeouts;
  if (status == ARES_EDESTRUCTION)
    return;
  assert(entry->state == ENTRY_ASKED);
  entry->status = resolve_status_of(status);
  uint32_t ttl = resolver->negative_ttl_s;
  if (info) {
    if (entry->status == 0)
      entry->status = resolve_entry_note(entry, info);
    if (entry->status == 0)
      ttl = resolver->starting == entry ? FILE_TTL_S : resolve_least_ttl(info);
    ares_freeaddrinfo(info);
  } else if (entry->status == 0) {
    entry->status = -ENOENT;
  }
  if (entry->status == -ENOMEM)
    ttl = 0;
  if (ttl > resolver->max_ttl_s)
    ttl = resolver->max_ttl_s;
  entry->expires = loop_now(resolver->loop) + (clock_ms)ttl * 1000;
  entry->state = ENTRY_ANSWERED;
  list_add_tail(&resolver->answered, &entry->place);
  if (ttl == 0)
    resolve_cache_remove(&resolver->cache, entry);
}

static void result_add(struct resolve_result *result, const struct sockaddr *sockaddr, socklen_t length) {
  struct endpoint *endpoint = &result->addresses[result->count++];
  memset(endpoint, 0, sizeof *endpoint);
  memcpy(&endpoint->storage, sockaddr, length);
  endpoint->length = length;
}

/* By a copy, for the callee may start another request, and that may drop the entry. */
static void call_done(const struct resolve_entry *entry, resolve_done_fn *done, void *context) {
  struct resolve_result result;
  result.status = entry->status;
  result.count = 0;
  for (unsigned i = 0; i < entry->count; i++) {
    const union resolve_address *address = &entry->addresses[i];
    result_add(&result, &address->sockaddr,
               address->sockaddr.sa_family == AF_INET ? sizeof address->in : sizeof address->in6);
  }
  done(context, &result);
}

/* All requests of an answered entry have been called. */
static void settle(struct resolver *resolver, struct resolve_entry *entry) {
  list_remove(&entry->place);
  if (entry->in_table)
    resolve_cache_keep(&resolver->cache, entry);
  else
    resolve_entry_free(entry);
}

static void resolver_deliver(struct resolver *resolver) {
  resolver->delivering = true;
  while (!list_is_empty(&resolver->answered)) {
    struct resolve_entry *entry = LIST_OWNER(resolver->answered.next, struct resolve_entry, place);
    while (!list_is_empty(&entry->waiting)) {
      struct resolve_request *request = LIST_OWNER(entry->waiting.next, struct resolve_request, place);
      list_remove(&request->place);
      resolve_done_fn *done = request->done;
      void *context = request->context;
      free(request);
      call_done(entry, done, context);
    }
    settle(resolver, entry);
  }
  resolver->delivering = false;
}

static void on_delivery(struct deferred *deferred) {
  resolver_deliver((struct resolver *)(void *)((char *)deferred - offsetof(struct resolver, delivery)));
}

/* After each call into c-ares. Its own clock is the real one: when ours was moved we come too early, and set the timer
 * again. */
static void resolver_set_timer(struct resolver *resolver) {
  struct timeval left;
  if (!ares_timeout(resolver->channel, NULL, &left)) {
    loop_cancel_timer(resolver->loop, &resolver->timer);
    return;
  }
  uint64_t ms = (uint64_t)left.tv_sec * 1000 + ((uint64_t)left.tv_usec + 999) / 1000;
  loop_set_timer(resolver->loop, &resolver->timer, ms > 0 ? ms : 1);
}

static void process(struct resolver *resolver, ares_socket_t readable, ares_socket_t writable) {
  ares_process_fd(resolver->channel, readable, writable);
  resolver_set_timer(resolver);
  resolver_deliver(resolver);
}

static void on_resolver_timer(struct wheel_timer *timer) {
  process((struct resolver *)(void *)((char *)timer - offsetof(struct resolver, timer)), ARES_SOCKET_BAD,
          ARES_SOCKET_BAD);
}

static void on_socket_ready(evutil_socket_t fd, short what, void *argument) {
  struct resolve_socket *sock = argument;
  process(sock->resolver, what & EV_READ ? fd : ARES_SOCKET_BAD, what & EV_WRITE ? fd : ARES_SOCKET_BAD);
}

static struct resolve_socket *resolver_socket(struct resolver *resolver, int fd) {
  LIST_FOREACH(node, &resolver->sockets) {
    struct resolve_socket *sock = LIST_OWNER(node, struct resolve_socket, place);
    if (sock->fd == fd)
      return sock;
  }
  return NULL;
}

/* Called by c-ares when what it waits for on a socket changes; neither: it is about to close it. Without memory here
 * the query ends by its timeout. */
static void on_socket_state(void *argument, ares_socket_t fd, int readable, int writable) {
  struct resolver *resolver = argument;
  struct resolve_socket *sock = resolver_socket(resolver, fd);
  if (sock) {
    event_del(&sock->event);
    sock->fd = -1;
  }
  if (!readable && !writable)
    return;
  if (!sock)
    sock = resolver_socket(resolver, -1);
  if (!sock) {
    sock = calloc(1, sizeof *sock);
    if (!sock)
      return;
    sock->resolver = resolver;
    sock->fd = -1;
    list_add_tail(&resolver->sockets, &sock->place);
  }
  short what = (short)(EV_PERSIST | (readable ? EV_READ : 0) | (writable ? EV_WRITE : 0));
  if (event_assign(&sock->event, resolver->loop->base, fd, what, on_socket_ready, sock) == 0 &&
      event_add(&sock->event, NULL) == 0)
    sock->fd = fd;
}

static int option_or(uint32_t value, int preset, int most) {
  return value == 0 ? preset : value < (uint32_t)most ? (int)value : most;
}

static int channel_open(struct resolver *resolver, const struct resolver_options *options, struct error *error) {
  /* No ares_library_init(): it counts in a global, without a lock, and outside of Windows it has nothing to do. */
  struct ares_options ares = {.timeout = option_or(options->timeout_ms, DEFAULT_TIMEOUT_MS, LONGEST_TIMEOUT_MS),
                              .tries = option_or(options->tries, DEFAULT_TRIES, MOST_TRIES),
                              .sock_state_cb = on_socket_state,
                              .sock_state_cb_data = resolver};
  int status =
      ares_init_options(&resolver->channel, &ares, ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
  if (status != ARES_SUCCESS) {
    resolver->channel = NULL;
    return error_set(error, status == ARES_ENOMEM ? ENOMEM : EIO,
                     "cannot start the resolver: %s (see /etc/resolv.conf)", ares_strerror(status));
  }
  if (!options->servers || options->servers[0] == '\0')
    return 0;
  status = ares_set_servers_ports_csv(resolver->channel, options->servers);
  if (status == ARES_SUCCESS)
    return 0;
  return error_set(error, status == ARES_ENOMEM ? ENOMEM : EINVAL,
                   "\"%s\" is not a list of DNS servers; write addresses like 192.0.2.1:53,[2001:db8::1]:53",
                   options->servers);
}

struct resolver *resolver_new(struct loop *loop, const struct resolver_options *options, struct error *error) {
  static const struct resolver_options defaults;
  if (!options)
    options = &defaults;
  struct resolver *resolver = calloc(1, sizeof *resolver);
  if (!resolver) {
    error_set(error, ENOMEM, "not enough memory for a resolver");
    return NULL;
  }
  resolver->loop = loop;
  resolver->negative_ttl_s = options->negative_ttl_s ? options->negative_ttl_s : DEFAULT_NEGATIVE_TTL_S;
  resolver->max_ttl_s = options->max_ttl_s ? options->max_ttl_s : DEFAULT_MAX_TTL_S;
  resolver->timer.on_expired = on_resolver_timer;
  resolver->delivery.run = on_delivery;
  list_init(&resolver->answered);
  list_init(&resolver->sockets);
  int status =
      resolve_cache_init(&resolver->cache, options->cache_entries ? options->cache_entries : DEFAULT_CACHE_ENTRIES);
  if (status != 0) {
    error_set(error, -status, "cannot make the cache of the resolver: %s", strerror(-status));
    goto fail;
  }
  if (channel_open(resolver, options, error) != 0)
    goto fail;
  return resolver;

fail:
  resolver_free(resolver);
  return NULL;
}

static void drop_requests(struct resolve_entry *entry) {
  LIST_FOREACH(node, &entry->waiting) {
    struct resolve_request *request = LIST_OWNER(node, struct resolve_request, place);
    list_remove(node);
    free(request);
  }
}

static void drop_node_requests(struct hash_node *node) { drop_requests(HASH_OWNER(node, struct resolve_entry, node)); }

void resolver_free(struct resolver *resolver) {
  if (!resolver)
    return;
  assert(!resolver->delivering);
  if (resolver->channel)
    ares_destroy(resolver->channel);
  loop_cancel_timer(resolver->loop, &resolver->timer);
  loop_undefer(resolver->loop, &resolver->delivery);
  LIST_FOREACH(node, &resolver->sockets) {
    struct resolve_socket *sock = LIST_OWNER(node, struct resolve_socket, place);
    assert(sock->fd < 0);
    free(sock);
  }
  LIST_FOREACH(node, &resolver->answered) {
    struct resolve_entry *entry = LIST_OWNER(node, struct resolve_entry, place);
    list_remove(node);
    drop_requests(entry);
    if (!entry->in_table)
      resolve_entry_free(entry);
  }
  hash_table_each(&resolver->cache.table, drop_node_requests);
  resolve_cache_deinit(&resolver->cache);
  free(resolver);
}

/* What needs no asking. False: a name, of `*size` bytes. */
static bool answer_at_once(const char *name, char normal[RESOLVE_NAME_MAX + 1], size_t *size, resolve_done_fn *done,
                           void *context) {
  struct resolve_result result;
  result.status = 0;
  result.count = 0;
  struct endpoint literal;
  if (endpoint_from_literal(&literal, name, 0) == 0) {
    result_add(&result, (const struct sockaddr *)&literal.storage, literal.length);
    done(context, &result);
    return true;
  }
  int length = resolve_name_normalize(name, normal);
  if (length < 0) {
    result.status = length;
    done(context, &result);
    return true;
  }
  *size = (size_t)length;
  if (!resolve_name_is_localhost(normal, *size))
    return false;
  struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
  result_add(&result, (const struct sockaddr *)&in, sizeof in);
  result_add(&result, (const struct sockaddr *)&in6, sizeof in6);
  done(context, &result);
  return true;
}

/* Asks for a new entry. True when the answer is there at once. */
static bool resolver_ask(struct resolver *resolver, struct resolve_entry *entry) {
  static const struct ares_addrinfo_hints hints = {
      .ai_flags = ARES_AI_NOSORT, /* sorting would open sockets to each address, and undo the servers' rotation */
      .ai_family = AF_UNSPEC,
      .ai_socktype = SOCK_STREAM,
  };
  entry->resolver = resolver;
  resolver->starting = entry;
  ares_getaddrinfo(resolver->channel, entry->name, NULL, &hints, on_dns_answer, entry);
  resolver->starting = NULL;
  resolver_set_timer(resolver);
  bool answered = entry->state == ENTRY_ANSWERED;
  if (answered)
    list_remove(&entry->place);
  /* A socket that failed may have ended others' queries too; the caller does not expect their callbacks within its
   * call. */
  if (!list_is_empty(&resolver->answered) && !resolver->delivering)
    loop_defer(resolver->loop, &resolver->delivery);
  return answered;
}

struct resolve_request *resolve_start(struct resolver *resolver, const char *name, resolve_done_fn *done,
                                      void *context) {
  char normal[RESOLVE_NAME_MAX + 1];
  size_t size;
  if (answer_at_once(name, normal, &size, done, context))
    return NULL;
  struct resolve_entry *entry = resolve_cache_find(&resolver->cache, normal, size, loop_now(resolver->loop));
  if (entry && entry->state != ENTRY_ASKED) {
    call_done(entry, done, context);
    return NULL;
  }
  struct resolve_result failed = {.status = -ENOMEM};
  struct resolve_request *request = malloc(sizeof *request);
  if (!request) {
    done(context, &failed);
    return NULL;
  }
  *request = (struct resolve_request){.done = done, .context = context};
  bool answered = false;
  if (!entry) {
    entry = resolve_cache_add(&resolver->cache, normal, size, &failed.status);
    if (!entry) {
      free(request);
      done(context, &failed);
      return NULL;
    }
    answered = resolver_ask(resolver, entry);
  }
  if (answered) {
    free(request);
    call_done(entry, done, context);
    settle(resolver, entry);
    return NULL;
  }
  list_add_tail(&entry->waiting, &request->place);
  return request;
}

void resolve_cancel(struct resolve_request *request) {
  if (!request)
    return;
  list_remove(&request->place);
  free(request);
}
