/* SPDX-License-Identifier: MIT
 *
 * Fetches the events of the set in batches, whenever libevent says that it has some. */
#include "core/poller.h"

#include <errno.h>
#include <event2/event.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
  CROWD = 4,   /* events at once: while they are served, more arrive */
  BATCHES = 4, /* before others have their turn */
};

static int poller_deliver(struct poller *poller) {
  struct epoll_event events[POLLER_BATCH];
  struct poll_source *sources[POLLER_BATCH];
  int count = epoll_wait(poller->fd, events, POLLER_BATCH, 0);
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
  return count;
}

static void on_poller_readable(evutil_socket_t fd, short what, void *argument) {
  (void)fd;
  (void)what;
  for (int i = 0; i < BATCHES && poller_deliver(argument) >= CROWD; i++)
    ;
}

int poller_init(struct poller *poller, struct event_base *base) {
  *poller = (struct poller){.fd = epoll_create1(EPOLL_CLOEXEC)};
  if (poller->fd < 0)
    return -errno;
  poller->event = event_new(base, poller->fd, EV_READ | EV_PERSIST, on_poller_readable, poller);
  if (poller->event && event_add(poller->event, NULL) == 0)
    return 0;
  if (poller->event)
    event_free(poller->event);
  close(poller->fd);
  poller->fd = -1;
  return -ENOMEM;
}

void poller_deinit(struct poller *poller) {
  event_free(poller->event);
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

void poller_forget(struct poller *poller, const struct poll_source *source) {
  if (!poller->batch)
    return;
  for (int i = poller->batch_next; i < poller->batch_size; i++)
    if (poller->batch[i] == source)
      poller->batch[i] = NULL;
}
