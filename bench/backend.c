/* SPDX-License-Identifier: MIT
 *
 * The back end of every benchmark: one thread, epoll, HTTP/1.1 with keep-alive and no more of it than the clients here
 * and wrk send. GET /small answers 128 bytes; GET /bulk?size=N streams N bytes of the pattern; POST with a
 * Content-Length takes that many bytes and answers how many of them were wrong. A PROXY header before a request is
 * passed over. It must never be what limits a proxy. */
#include "support.h"

#include <signal.h>

enum { HEAD_LIMIT = 2048, SMALL_SIZE = 128 };

struct peer {
  int fd;
  bool closes;    /* after this exchange */
  bool uploading; /* a body is on its way in */
  bool waits_out; /* EPOLLOUT is asked for, and not EPOLLIN */
  size_t head_size;
  uint64_t body_size, body_done, body_wrong; /* of the body on its way, in either direction */
  char head[HEAD_LIMIT];
};

struct backend {
  int epoll;
  uint8_t *pattern, *buffer;
  char small[512];
  size_t small_size;
};

static void peer_close(struct peer *peer) {
  close(peer->fd);
  free(peer);
}

/* Answers are far smaller than a socket's buffer: one that does not fit belongs to a client that does not read. */
static bool answer_send(struct peer *peer, const char *bytes, size_t size) {
  return send(peer->fd, bytes, size, MSG_NOSIGNAL) == (ssize_t)size;
}

/* Sends on with the body, a chunk at a time so that parallel downloads share. False: the connection is over. */
static bool download_go_on(struct backend *backend, struct peer *peer) {
  uint64_t left = peer->body_size - peer->body_done;
  size_t size = left < CHUNK_SIZE ? (size_t)left : CHUNK_SIZE;
  ssize_t sent = send(peer->fd, backend->pattern + peer->body_done % PATTERN_PERIOD, size, MSG_NOSIGNAL);
  if (sent < 0 && errno != EAGAIN)
    return false;
  peer->body_done += sent > 0 ? (uint64_t)sent : 0;
  bool done = peer->body_done == peer->body_size;
  if (done == peer->waits_out) {
    peer->waits_out = !done;
    epoll_put(backend->epoll, EPOLL_CTL_MOD, peer->fd, done ? EPOLLIN : EPOLLOUT, peer);
  }
  return true;
}

static bool upload_take(struct backend *backend, struct peer *peer, const uint8_t *bytes, size_t size) {
  if (!pattern_matches(backend->pattern, peer->body_done, bytes, size))
    peer->body_wrong += size;
  peer->body_done += size;
  if (peer->body_done < peer->body_size)
    return true;
  char body[64], answer[256];
  int body_size = snprintf(body, sizeof body, "wrong %" PRIu64 "\n", peer->body_wrong);
  int answer_size = snprintf(answer, sizeof answer, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", body_size, body);
  peer->uploading = false;
  return answer_send(peer, answer, (size_t)answer_size) && !peer->closes;
}

/* Answers the request at the start of `head`, which `size` bytes of a whole head are. False: the connection is over. */
static bool request_answer(struct backend *backend, struct peer *peer, char *head, size_t size) {
  unsigned long long length = 0;
  if (!strncmp(head, "PROXY ", 6)) {
    char *request = (char *)memchr(head, '\n', size) + 1;
    size -= (size_t)(request - head);
    head = request;
  }
  char *line = memchr(head, '\n', size), *found;
  head[size - 1] = 0; /* the head's last line feed */
  peer->closes = strcasestr(line, "\nconnection: close") || !strncmp(line - 2, "0\r\n", 3);
  peer->body_done = peer->body_wrong = peer->body_size = 0;
  if (!strncmp(head, "GET /small", 10))
    return answer_send(peer, backend->small, backend->small_size) && !peer->closes;
  if (sscanf(head, "GET /bulk?size=%llu", &length) == 1) {
    char answer[128];
    int answer_size = snprintf(answer, sizeof answer, "HTTP/1.1 200 OK\r\nContent-Length: %llu\r\n\r\n", length);
    peer->body_size = length;
    return answer_send(peer, answer, (size_t)answer_size) && download_go_on(backend, peer) &&
           !(peer->closes && peer->body_done == peer->body_size);
  }
  if (!strncmp(head, "POST /", 6) && (found = strcasestr(line, "\ncontent-length:"))) {
    peer->body_size = strtoull(found + 16, NULL, 10);
    peer->uploading = true;
    return peer->body_size ? true : upload_take(backend, peer, backend->buffer, 0);
  }
  static const char missing[] = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
  return answer_send(peer, missing, sizeof missing - 1) && !peer->closes;
}

/* Answers all that is whole in the head's buffer, and keeps the rest. False: the connection is over. */
static bool heads_answer(struct backend *backend, struct peer *peer) {
  size_t start = 0;
  while (!peer->uploading && peer->body_done == peer->body_size) {
    char *head = peer->head + start;
    char *end = memmem(head, peer->head_size - start, "\r\n\r\n", 4);
    if (!end)
      break;
    start += (size_t)(end + 4 - head);
    if (!request_answer(backend, peer, head, (size_t)(end + 4 - head)))
      return false;
  }
  size_t left = peer->head_size - start;
  if (peer->uploading && left) {
    size_t mine = left < peer->body_size - peer->body_done ? left : (size_t)(peer->body_size - peer->body_done);
    if (mine && !upload_take(backend, peer, (uint8_t *)peer->head + start, mine))
      return false;
    start += mine;
    left -= mine;
  }
  if (start)
    memmove(peer->head, peer->head + start, left);
  peer->head_size = left;
  return left < HEAD_LIMIT;
}

/* False: the connection is over. */
static bool on_readable(struct backend *backend, struct peer *peer) {
  if (peer->uploading) {
    uint64_t left = peer->body_size - peer->body_done;
    ssize_t got = recv(peer->fd, backend->buffer, left < CHUNK_SIZE ? (size_t)left : CHUNK_SIZE, 0);
    if (got <= 0)
      return got < 0 && errno == EAGAIN;
    return upload_take(backend, peer, backend->buffer, (size_t)got);
  }
  ssize_t got = recv(peer->fd, peer->head + peer->head_size, HEAD_LIMIT - peer->head_size, 0);
  if (got <= 0)
    return got < 0 && errno == EAGAIN;
  peer->head_size += (size_t)got;
  return heads_answer(backend, peer);
}

static bool on_writable(struct backend *backend, struct peer *peer) {
  if (!download_go_on(backend, peer))
    return false;
  if (peer->body_done < peer->body_size)
    return true;
  return !peer->closes && heads_answer(backend, peer);
}

static void on_accept(struct backend *backend, int listener) {
  for (;;) {
    // NOLINTNEXTLINE(clang-analyzer-unix.Malloc): epoll keeps the peer
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
      return;
    struct peer *peer = malloc(sizeof *peer);
    if (!peer)
      die("no memory");
    memset(peer, 0, offsetof(struct peer, head));
    peer->fd = fd;
    no_delay(fd);
    if (epoll_put(backend->epoll, EPOLL_CTL_ADD, fd, EPOLLIN, peer))
      peer_close(peer);
  }
}

int main(int argc, char **argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: backend PORT\n");
    return 2;
  }
  signal(SIGPIPE, SIG_IGN);
  descriptors_raise();
  struct backend backend = {.epoll = epoll_open(), .pattern = pattern_new(), .buffer = malloc(CHUNK_SIZE)};
  int listener = listener_open((uint16_t)number_parse("PORT", argv[1], 1, 65535));
  int head_size = snprintf(backend.small, sizeof backend.small,
                           "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n", SMALL_SIZE);
  memset(backend.small + head_size, 'm', SMALL_SIZE);
  backend.small_size = (size_t)head_size + SMALL_SIZE;
  if (!backend.buffer || epoll_put(backend.epoll, EPOLL_CTL_ADD, listener, EPOLLIN, NULL))
    die("no memory");
  for (;;) {
    struct epoll_event events[BATCH_SIZE];
    int count = epoll_wait(backend.epoll, events, BATCH_SIZE, -1);
    for (int i = 0; i < count; i++) {
      struct peer *peer = events[i].data.ptr;
      if (!peer)
        on_accept(&backend, listener);
      else if (!(peer->waits_out ? on_writable(&backend, peer) : on_readable(&backend, peer)))
        peer_close(peer);
    }
  }
}
