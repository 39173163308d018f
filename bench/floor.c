/* SPDX-License-Identifier: MIT
 *
 * The least that a TCP proxy in userspace can do: one thread, edge-triggered epoll, one buffer (or pipe) shared by all,
 * what was received is sent at once. No timers, no limits, no bookkeeping: it is a measure for the others, never a
 * proxy to use. Backpressure and both ends' FIN are handled, since a measure that loses bytes measures nothing. */
#include "support.h"

#include <signal.h>
#include <sys/uio.h>

enum { BUFFER_SIZE = 128 * 1024, PIPE_SIZE = 1024 * 1024 };

/* An open pipe that holds bytes only while a direction owns it. */
struct tube {
  struct tube *next;
  int read, write;
};

/* One socket of a pair, and what was received from it and could not be sent to the other yet. */
struct side {
  struct side *other;
  struct pair *pair;
  int fd;
  bool readable, writable;
  bool ending, ended, passed_on; /* its FIN is in sight; was read; a client's: was passed on */
  uint8_t *pending;
  struct tube *tube;
  size_t pending_start, pending_size; /* in `pending` or in `tube` */
};

struct pair {
  struct side client, target;
  struct pair *next_dead;
  bool dead;
};

struct proxy {
  int epoll, listener;
  uint16_t target_port;
  bool splices;
  uint8_t *buffer;
  struct tube *tubes;
  struct pair *dead; /* freed after the batch, which may still hold events of theirs */
};

enum progress { IDLE, AGAIN, FAILED };

static struct tube *tube_take(struct proxy *proxy) {
  struct tube *tube = proxy->tubes;
  int ends[2];
  if (tube) {
    proxy->tubes = tube->next;
    return tube;
  }
  if (pipe2(ends, O_NONBLOCK | O_CLOEXEC))
    return NULL;
  fcntl(ends[1], F_SETPIPE_SZ, PIPE_SIZE);
  tube = malloc(sizeof *tube);
  if (!tube)
    die("no memory");
  *tube = (struct tube){.read = ends[0], .write = ends[1]};
  return tube;
}

static void tube_give_back(struct proxy *proxy, struct side *from) {
  if (!from->tube)
    return;
  if (from->pending_size) { /* bytes of a dead pair: nobody else's pipe any more */
    close(from->tube->read);
    close(from->tube->write);
    free(from->tube);
  } else {
    from->tube->next = proxy->tubes;
    proxy->tubes = from->tube;
  }
  from->tube = NULL;
}

static void pair_close(struct proxy *proxy, struct pair *pair) {
  if (pair->dead)
    return;
  pair->dead = true;
  pair->next_dead = proxy->dead;
  proxy->dead = pair;
  for (struct side *side = &pair->client; side; side = side == &pair->client ? &pair->target : NULL) {
    if (side->fd >= 0)
      close(side->fd);
    free(side->pending);
    tube_give_back(proxy, side);
  }
}

static enum progress blocked(bool *ready) {
  if (errno != EAGAIN && errno != EINTR)
    return FAILED;
  if (errno == EAGAIN)
    *ready = false;
  return AGAIN;
}

/* Sends what a full socket left over. AGAIN while some of it remains. */
static enum progress pending_send(struct proxy *proxy, struct side *from) {
  struct side *to = from->other;
  while (from->pending_size && to->writable) {
    ssize_t sent =
        from->tube ? splice(from->tube->read, NULL, to->fd, NULL, from->pending_size, SPLICE_F_MOVE | SPLICE_F_NONBLOCK)
                   : send(to->fd, from->pending + from->pending_start, from->pending_size, MSG_NOSIGNAL);
    if (sent < 0 && blocked(&to->writable) == FAILED)
      return FAILED;
    from->pending_start += sent > 0 ? (size_t)sent : 0;
    from->pending_size -= sent > 0 ? (size_t)sent : 0;
  }
  if (from->pending_size)
    return AGAIN;
  free(from->pending);
  from->pending = NULL;
  tube_give_back(proxy, from);
  return IDLE;
}

/* Takes what is there off the socket: 0 or more bytes, or -1. Fewer than `room` mean that no more is there now. */
static ssize_t side_receive(struct proxy *proxy, struct side *from, size_t room) {
  if (!proxy->splices)
    return recv(from->fd, proxy->buffer, room, 0);
  if (!from->tube && !(from->tube = tube_take(proxy)))
    return -1;
  return splice(from->fd, NULL, from->tube->write, NULL, room, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
}

static enum progress received_send(struct proxy *proxy, struct side *from, size_t size) {
  struct side *to = from->other;
  if (proxy->splices) {
    from->pending_start = 0;
    from->pending_size = size;
    return pending_send(proxy, from);
  }
  ssize_t sent = to->writable ? send(to->fd, proxy->buffer, size, MSG_NOSIGNAL) : 0;
  if (sent == (ssize_t)size)
    return IDLE;
  if (sent < 0 && blocked(&to->writable) == FAILED)
    return FAILED;
  size_t gone = sent > 0 ? (size_t)sent : 0;
  from->pending = malloc(size - gone);
  if (!from->pending)
    die("no memory");
  memcpy(from->pending, proxy->buffer + gone, size - gone);
  from->pending_start = 0;
  from->pending_size = size - gone;
  return pending_send(proxy, from);
}

/* A client's end is passed on, and the target may still answer. A target's end, by now behind all its bytes, is the
 * pair's. FAILED: nothing more will move. */
static enum progress end_pass_on(struct side *from) {
  if (from == &from->pair->target)
    return FAILED;
  from->passed_on = true;
  return shutdown(from->other->fd, SHUT_WR) ? FAILED : IDLE;
}

/* Moves all that can go from one side to the other now. */
static enum progress side_pump(struct proxy *proxy, struct side *from) {
  size_t room = proxy->splices ? PIPE_SIZE : BUFFER_SIZE;
  if (from->pending_size) {
    enum progress progress = pending_send(proxy, from);
    if (progress != IDLE)
      return progress;
  }
  /* Until the target is connected its client is not read: the bytes wait in the kernel. */
  while (from->readable && from->other->writable) {
    ssize_t got = side_receive(proxy, from, room);
    if (got < 0) {
      if (blocked(&from->readable) == FAILED)
        return FAILED;
      continue;
    }
    if (!got) {
      from->readable = false;
      from->ended = true;
      break;
    }
    /* A short recv() has emptied the socket, unless a FIN waits behind the bytes. A short splice() may have met the
     * end of the pipe instead. */
    if ((size_t)got < room && !from->ending && !proxy->splices)
      from->readable = false;
    enum progress progress = received_send(proxy, from, (size_t)got);
    if (progress != IDLE)
      return progress;
  }
  tube_give_back(proxy, from);
  return from->ended && !from->passed_on ? end_pass_on(from) : IDLE;
}

static void on_event(struct proxy *proxy, struct side *side, uint32_t events) {
  struct side *other = side->other;
  if (side->pair->dead)
    return;
  if (events & EPOLLERR) {
    pair_close(proxy, side->pair);
    return;
  }
  if (events & (EPOLLRDHUP | EPOLLHUP))
    side->ending = true;
  if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP))
    side->readable = !side->ended;
  if (events & EPOLLOUT)
    side->writable = true;
  if ((side->readable && side_pump(proxy, side) == FAILED) ||
      ((events & EPOLLOUT) && (other->pending_size || other->readable) && side_pump(proxy, other) == FAILED))
    pair_close(proxy, side->pair);
}

static void on_accept(struct proxy *proxy) {
  const uint32_t all = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  for (;;) {
    int client = accept4(proxy->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (client < 0 && (errno == EAGAIN || errno == EMFILE || errno == ENFILE))
      return;
    if (client < 0)
      continue;
    struct pair *pair = calloc(1, sizeof *pair);
    if (!pair)
      die("no memory");
    no_delay(client);
    pair->client = (struct side){.other = &pair->target, .pair = pair, .fd = client};
    pair->target = (struct side){.other = &pair->client, .pair = pair, .fd = connect_start(proxy->target_port)};
    if (pair->target.fd < 0 || epoll_put(proxy->epoll, EPOLL_CTL_ADD, client, all, &pair->client) ||
        epoll_put(proxy->epoll, EPOLL_CTL_ADD, pair->target.fd, all, &pair->target))
      pair_close(proxy, pair);
  }
}

static void dead_free(struct proxy *proxy) {
  while (proxy->dead) {
    struct pair *pair = proxy->dead;
    proxy->dead = pair->next_dead;
    free(pair);
  }
}

int main(int argc, char **argv) {
  struct proxy proxy = {.splices = argc == 4 && !strcmp(argv[3], "--splice")};
  if (argc != 3 && !proxy.splices) {
    fprintf(stderr, "usage: floor PORT TARGET_PORT [--splice]\n");
    return 2;
  }
  signal(SIGPIPE, SIG_IGN); /* splice() has no MSG_NOSIGNAL */
  descriptors_raise();
  proxy.target_port = (uint16_t)number_parse("TARGET_PORT", argv[2], 1, 65535);
  proxy.listener = listener_open((uint16_t)number_parse("PORT", argv[1], 1, 65535));
  proxy.epoll = epoll_open();
  proxy.buffer = malloc(BUFFER_SIZE);
  if (!proxy.buffer || epoll_put(proxy.epoll, EPOLL_CTL_ADD, proxy.listener, EPOLLIN, NULL))
    die("no memory");
  for (;;) {
    struct epoll_event events[BATCH_SIZE];
    int count = epoll_wait(proxy.epoll, events, BATCH_SIZE, -1);
    for (int i = 0; i < count; i++) {
      if (events[i].data.ptr)
        on_event(&proxy, events[i].data.ptr, events[i].events);
      else
        on_accept(&proxy);
    }
    dead_free(&proxy);
  }
}
