/* SPDX-License-Identifier: MIT
 *
 * Fetches the events of the set, a batch a round. libevent is served behind them. */
#include "core/poller.h"

#include <errno.h>
#include <event2/event.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

static void poller_deliver(struct poller *poller, int timeout) {
  struct epoll_event events[POLLER_BATCH];
  struct poll_source *sources[POLLER_BATCH];
  int count = epoll_wait(poller->fd, events, POLLER_BATCH, timeout);
  for (int i = 0; i < count; i++)
    sources[i] = events[i].data.ptr;
  poller->batch = sources;
  poller->batch_size = count;
  for (int i = 0; i < count; i++) {
    struct poll_source *source = sources[i];
    poller->batch_next = i + 1;
    if (source)
      source->on_event(source, events[i].events);
  }
  poller->batch = NULL;
}

void poller_serve(struct poller *poller, bool wait) {
  poller_deliver(poller, wait ? -1 : 0);
  if (!poller->base_is_ready)
    return;
  poller->base_is_ready = false;
  event_base_loop(poller->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

static void on_base_ready(struct poll_source *source, uint32_t events) {
  struct poller *poller = (struct poller *)((char *)source - offsetof(struct poller, base_source));
  (void)events;
  poller->base_is_ready = true;
}

static void on_set_readable(evutil_socket_t fd, short what, void *argument) {
  (void)fd;
  (void)what;
  poller_deliver(argument, 0);
}

static bool has_probe(int set, int probe) {
  struct epoll_event none = {0};
  return epoll_ctl(set, EPOLL_CTL_MOD, probe, &none) == 0;
}

/* libevent has no call that tells its set: it is the one that knows a descriptor which libevent has just been given.
 * Asking changes no other set. A new descriptor is the lowest that is free, so it is found soon. -1: it is not. */
static int find_set(struct event_base *base) {
  int set = -1, probe = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  struct event *event = probe < 0 ? NULL : event_new(base, probe, EV_READ | EV_PERSIST, on_set_readable, NULL);
  struct rlimit most = {0};
  if (event && event_add(event, NULL) == 0 && getrlimit(RLIMIT_NOFILE, &most) == 0)
    for (int fd = 0; (rlim_t)fd < most.rlim_cur && set < 0; fd++)
      set = has_probe(fd, probe) ? fd : -1;
  if (event)
    event_free(event);
  if (probe >= 0)
    close(probe);
  return set;
}

static int put_into_base(struct poller *poller, struct event_base *base) {
  poller->event = event_new(base, poller->fd, EV_READ | EV_PERSIST, on_set_readable, poller);
  return poller->event && event_add(poller->event, NULL) == 0 ? 0 : -ENOMEM;
}

static int take_base_in(struct poller *poller, struct event_base *base) {
  int set = find_set(base);
  if (set < 0)
    return -ENOENT;
  poller->base = base;
  poller->base_source.on_event = on_base_ready;
  return poller_watch(poller, set, EPOLLIN, &poller->base_source);
}

int poller_init(struct poller *poller, struct event_base *base, bool is_inner) {
  *poller = (struct poller){.fd = epoll_create1(EPOLL_CLOEXEC)};
  if (poller->fd < 0)
    return -errno;
  int status = is_inner ? put_into_base(poller, base) : take_base_in(poller, base);
  if (status != 0)
    poller_deinit(poller);
  return status;
}

void poller_deinit(struct poller *poller) {
  if (poller->event)
    event_free(poller->event);
  poller->event = NULL;
  close(poller->fd);
  poller->fd = -1;
}

static int control(struct poller *poller, int operation, int fd, uint32_t events, struct poll_source *source) {
  struct epoll_event event = {.events = events | EPOLLRDHUP | EPOLLPRI | EPOLLET, .data.ptr = source};
  return epoll_ctl(poller->fd, operation, fd, &event) < 0 ? -errno : 0;
}

int poller_add(struct poller *poller, int fd, struct poll_source *source) {
  return control(poller, EPOLL_CTL_ADD, fd, EPOLLIN, source);
}

int poller_add_writable(struct poller *poller, int fd, struct poll_source *source) {
  return control(poller, EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLOUT, source);
}

int poller_watch(struct poller *poller, int fd, uint32_t events, struct poll_source *source) {
  struct epoll_event event = {.events = events, .data.ptr = source};
  return epoll_ctl(poller->fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

void poller_unwatch(struct poller *poller, int fd, const struct poll_source *source) {
  epoll_ctl(poller->fd, EPOLL_CTL_DEL, fd, NULL);
  poller_forget(poller, source);
}

void poller_forget(struct poller *poller, const struct poll_source *source) {
  if (!poller->batch)
    return;
  for (int i = poller->batch_next; i < poller->batch_size; i++)
    if (poller->batch[i] == source)
      poller->batch[i] = NULL;
}
