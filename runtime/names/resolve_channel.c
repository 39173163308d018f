/* SPDX-License-Identifier: MIT
 *
 * c-ares on the loop. A channel that has asked enough, or whose servers are others now, is left to its last answers
 * while a new one asks: answers are harder to forge when the questions come from many ports (RFC 5452 section 9.2). It
 * is told all that it would else read from files. */
#include "names/resolve_channel.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

enum { MOST_QUESTIONS = 64 };

struct resolve_socket {
  struct list_node place;
  struct resolve_channel *channel;
  int fd; /* -1: not used */
  struct event event;
};

struct resolve_channel {
  struct list_node place;
  struct resolve_channels *channels;
  ares_channel ares;
  unsigned asked, running, server_count;
  bool processing; /* c-ares is on the stack */
  struct wheel_timer timer;
};

static void channel_process(struct resolve_channel *channel, ares_socket_t readable, ares_socket_t writable);

static void on_channel_timer(struct wheel_timer *timer) {
  channel_process((struct resolve_channel *)(void *)((char *)timer - offsetof(struct resolve_channel, timer)),
                  ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

static void on_socket_ready(evutil_socket_t fd, short what, void *argument) {
  struct resolve_socket *sock = argument;
  channel_process(sock->channel, what & EV_READ ? fd : ARES_SOCKET_BAD, what & EV_WRITE ? fd : ARES_SOCKET_BAD);
}

static struct resolve_socket *socket_of(struct resolve_channels *channels, const struct resolve_channel *channel,
                                        int fd) {
  LIST_FOREACH(node, &channels->sockets) {
    struct resolve_socket *sock = LIST_OWNER(node, struct resolve_socket, place);
    if (sock->fd == fd && (fd < 0 || sock->channel == channel))
      return sock;
  }
  return NULL;
}

/* Called by c-ares when what it waits for on a socket changes; neither: it is about to close it. Without memory here
 * the query ends by its timeout. Used ones stay: nothing is freed in its own event. */
static void on_socket_state(void *argument, ares_socket_t fd, int readable, int writable) {
  struct resolve_channel *channel = argument;
  struct resolve_channels *channels = channel->channels;
  struct resolve_socket *sock = socket_of(channels, channel, fd);
  if (sock) {
    event_del(&sock->event);
    sock->fd = -1;
  }
  if (!readable && !writable)
    return;
  if (!sock)
    sock = socket_of(channels, NULL, -1);
  if (!sock) {
    sock = calloc(1, sizeof *sock);
    if (!sock)
      return;
    sock->fd = -1;
    list_add_tail(&channels->sockets, &sock->place);
  }
  sock->channel = channel;
  short what = (short)(EV_PERSIST | (readable ? EV_READ : 0) | (writable ? EV_WRITE : 0));
  if (event_assign(&sock->event, channels->loop->base, fd, what, on_socket_ready, sock) == 0 &&
      event_add(&sock->event, NULL) == 0)
    sock->fd = fd;
}

/* c-ares reads no file when it is told all of this. */
static int open_ares(struct resolve_channel *channel) {
  const struct resolve_channels *channels = channel->channels;
  char lookups[] = "b";
  /* No ares_library_init(): it counts in a global, without a lock, and outside of Windows it has nothing to do. */
  struct ares_options options = {.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES |
                                          (dns_files_use_tcp(channels->files) ? ARES_FLAG_USEVC : 0),
                                 .timeout = channels->timeout_ms,
                                 .tries = channels->tries,
                                 .ndots = 1,
                                 .lookups = lookups,
                                 .sock_state_cb = on_socket_state,
                                 .sock_state_cb_data = channel};
  int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_NDOTS | ARES_OPT_SERVERS |
             ARES_OPT_DOMAINS | ARES_OPT_SORTLIST | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB |
             (dns_files_rotate(channels->files) ? ARES_OPT_ROTATE : ARES_OPT_NOROTATE);
  int status = ares_init_options(&channel->ares, &options, mask);
  if (status != ARES_SUCCESS)
    channel->ares = NULL;
  return status;
}

/* Those of the list, from another one on: "a,b,c" by 1 is "b,c,a". */
static int set_servers(struct resolve_channel *channel) {
  const struct resolve_channels *channels = channel->channels;
  const char *list = channels->servers ? channels->servers : dns_files_servers(channels->files);
  const char *first = list;
  channel->server_count = 1;
  for (const char *at = list; *at != '\0'; at++)
    channel->server_count += *at == ',';
  for (unsigned i = channels->first_server % channel->server_count; i > 0; i--)
    first = strchr(first, ',') + 1;
  size_t tail = strlen(first), head = (size_t)(first - list);
  char *turned = malloc(tail + 1 + head + 1);
  if (!turned)
    return ARES_ENOMEM;
  memcpy(turned, first, tail);
  turned[tail] = head > 0 ? ',' : '\0';
  memcpy(turned + tail + 1, list, head);
  if (head > 0)
    turned[tail + head] = '\0'; /* in place of its last comma */
  int status = ares_set_servers_ports_csv(channel->ares, turned);
  free(turned);
  return status;
}

static void channel_free(struct resolve_channel *channel) {
  if (channel->ares)
    ares_destroy(channel->ares);
  loop_cancel_timer(channel->channels->loop, &channel->timer);
  list_remove(&channel->place);
  free(channel);
}

/* NULL and a status of c-ares. */
static struct resolve_channel *channel_new(struct resolve_channels *channels, int *status) {
  *status = ARES_ENOMEM;
  struct resolve_channel *channel = calloc(1, sizeof *channel);
  if (!channel)
    return NULL;
  channel->channels = channels;
  channel->timer.on_expired = on_channel_timer;
  list_add_tail(&channels->all, &channel->place);
  *status = open_ares(channel);
  if (*status == ARES_SUCCESS)
    *status = set_servers(channel);
  if (*status == ARES_SUCCESS)
    return channel;
  channel_free(channel);
  return NULL;
}

static void free_if_over(struct resolve_channel *channel) {
  if (channel != channel->channels->current && channel->running == 0 && !channel->processing)
    channel_free(channel);
}

/* The next question opens another one. */
static void retire_current(struct resolve_channels *channels) {
  struct resolve_channel *channel = channels->current;
  channels->current = NULL;
  if (channel)
    free_if_over(channel);
}

/* After each call into c-ares. Its own clock is the real one: when ours was moved we come too early, and set the timer
 * again. */
static void set_channel_timer(struct resolve_channel *channel) {
  struct timeval left;
  struct loop *loop = channel->channels->loop;
  if (!ares_timeout(channel->ares, NULL, &left)) {
    loop_cancel_timer(loop, &channel->timer);
    return;
  }
  uint64_t ms = (uint64_t)left.tv_sec * 1000 + ((uint64_t)left.tv_usec + 999) / 1000;
  loop_set_timer(loop, &channel->timer, ms > 0 ? ms : 1);
}

static void channel_process(struct resolve_channel *channel, ares_socket_t readable, ares_socket_t writable) {
  struct resolve_channels *channels = channel->channels;
  channel->processing = true;
  ares_process_fd(channel->ares, readable, writable);
  channel->processing = false;
  set_channel_timer(channel);
  free_if_over(channel);
  channels->on_pause(channels);
}

int resolve_channels_init(struct resolve_channels *channels, struct loop *loop, const char *servers, int timeout_ms,
                          int tries, struct dns_files *files, struct error *error) {
  channels->loop = loop;
  channels->timeout_ms = timeout_ms;
  channels->tries = tries;
  channels->files = dns_files_ref(files);
  list_init(&channels->all);
  list_init(&channels->sockets);
  if (servers && servers[0] != '\0' && !(channels->servers = strdup(servers)))
    return error_set(error, ENOMEM, "not enough memory for a resolver");
  int status;
  channels->current = channel_new(channels, &status);
  if (channels->current)
    return 0;
  if (status == ARES_ENOMEM)
    return error_set(error, ENOMEM, "not enough memory for a resolver");
  if (!channels->servers)
    return error_set(error, EIO, "cannot start the resolver: %s (see /etc/resolv.conf)", ares_strerror(status));
  return error_set(error, EINVAL,
                   "\"%s\" is not a list of DNS servers; write addresses like 192.0.2.1:53,[2001:db8::1]:53", servers);
}

void resolve_channels_deinit(struct resolve_channels *channels) {
  if (!channels->loop)
    return;
  channels->current = NULL;
  LIST_FOREACH(node, &channels->all) { channel_free(LIST_OWNER(node, struct resolve_channel, place)); }
  LIST_FOREACH(node, &channels->sockets) {
    struct resolve_socket *sock = LIST_OWNER(node, struct resolve_socket, place);
    assert(sock->fd < 0);
    free(sock);
  }
  dns_files_unref(channels->files);
  free(channels->servers);
}

void resolve_channels_set_files(struct resolve_channels *channels, struct dns_files *files) {
  dns_files_ref(files);
  dns_files_unref(channels->files);
  channels->files = files;
  channels->first_server = 0;
  retire_current(channels);
}

/* The one that a question goes out by; NULL without memory. */
static struct resolve_channel *begin_question(struct resolve_channels *channels, bool *outer) {
  int status;
  if (channels->current && channels->current->asked >= MOST_QUESTIONS)
    retire_current(channels);
  if (!channels->current && !(channels->current = channel_new(channels, &status)))
    return NULL;
  struct resolve_channel *by = channels->current;
  by->asked++;
  by->running++;
  *outer = by->processing;
  by->processing = true;
  return by;
}

static void end_question(struct resolve_channel *by, bool outer) {
  by->processing = outer;
  set_channel_timer(by);
  free_if_over(by);
}

int resolve_channels_ask(struct resolve_channels *channels, const char *name, enum host_family family,
                         ares_addrinfo_callback on_answer, void *context, struct resolve_channel **channel) {
  static const struct ares_addrinfo_hints hints[HOST_FAMILIES] = {
      /* Sorting would open sockets to each address, and undo the servers' rotation. */
      [HOST_IPV6] = {.ai_flags = ARES_AI_NOSORT, .ai_family = AF_INET6, .ai_socktype = SOCK_STREAM},
      [HOST_IPV4] = {.ai_flags = ARES_AI_NOSORT, .ai_family = AF_INET, .ai_socktype = SOCK_STREAM},
  };
  bool outer;
  struct resolve_channel *by = *channel = begin_question(channels, &outer);
  if (!by)
    return -ENOMEM;
  ares_getaddrinfo(by->ares, name, NULL, &hints[family], on_answer, context);
  end_question(by, outer);
  return 0;
}

int resolve_channels_ask_address(struct resolve_channels *channels, const struct ip_address *address,
                                 ares_host_callback on_answer, void *context, struct resolve_channel **channel) {
  bool is_ipv4 = ip_address_is_ipv4(address), outer;
  struct resolve_channel *by = *channel = begin_question(channels, &outer);
  if (!by)
    return -ENOMEM;
  ares_gethostbyaddr(by->ares, address->bytes + (is_ipv4 ? 12 : 0), is_ipv4 ? 4 : 16, is_ipv4 ? AF_INET : AF_INET6,
                     on_answer, context);
  end_question(by, outer);
  return 0;
}

void resolve_channel_done(struct resolve_channel *channel, bool answered, int late) {
  struct resolve_channels *channels = channel->channels;
  channel->running--;
  if (answered && late > 0 && channel->server_count > 1 && channel == channels->current) {
    channels->first_server += (unsigned)late;
    retire_current(channels);
  }
}
