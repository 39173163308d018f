/* SPDX-License-Identifier: MIT
 *
 * What all kinds of streams have in common, the socket underneath them, and the one place where the client's wire is
 * counted: beside the socket calls. */
#include "net/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* What is marked as urgent is a byte of the stream like the others (RFC 6093, 5). What listeners accept has it in line
 * from the start; of others it is asked when it comes, before it is read, for hardly any target ever sends such a byte.
 */
static void note_urgent(struct stream *stream) {
  if (!(stream->readiness & STREAM_URGENT))
    setsockopt(stream->fd, SOL_SOCKET, SO_OOBINLINE, &(int){1}, sizeof(int));
  stream->readiness |= STREAM_READABLE | STREAM_URGENT;
}

/* Once or twice in the life of a connection. */
__attribute__((noinline)) static void note_rare(struct stream *stream, uint32_t events) {
  if (events & EPOLLRDHUP)
    stream->readiness |= STREAM_READABLE | STREAM_ENDED;
  if (events & EPOLLPRI)
    note_urgent(stream);
  if (events & (EPOLLERR | EPOLLHUP))
    stream->readiness |= STREAM_READABLE | STREAM_WRITABLE | STREAM_FAILED;
  if (events & EPOLLERR)
    stream->readiness |= STREAM_BROKEN;
}

static inline void note_events(struct stream *stream, uint32_t events) {
  if (events & EPOLLIN)
    stream->readiness |= STREAM_READABLE;
  if (events & EPOLLOUT)
    stream->readiness |= STREAM_WRITABLE;
  if (events & ~(uint32_t)(EPOLLIN | EPOLLOUT))
    note_rare(stream, events);
}

void stream_note_events(struct stream *stream, uint32_t events) { note_events(stream, events); }

static void on_event(struct poll_source *source, uint32_t events) {
  struct stream *stream = (struct stream *)source;
  note_events(stream, events);
  if (stream->on_ready)
    stream->on_ready(stream, stream->context);
}

static int watch_writable(struct stream *stream) {
  int status = poller_add_writable(&stream->loop->poller, stream->fd, &stream->source);
  stream->watches_writable = status == 0;
  return status;
}

int stream_open(struct stream *stream, struct loop *loop, int fd, struct tally *tally, uint8_t readiness) {
  *stream = (struct stream){.source = {on_event}, .loop = loop, .tally = tally, .fd = fd, .readiness = readiness};
  int status = poller_add(&loop->poller, fd, &stream->source);
  if (status == 0 && !(readiness & STREAM_WRITABLE))
    status = watch_writable(stream);
  if (status == 0)
    stream->ops = &socket_stream_ops;
  return status;
}

void stream_break(struct stream *stream) {
  const struct sockaddr nobody = {.sa_family = AF_UNSPEC};
  if (stream_is_open(stream) && connect(stream->fd, &nobody, sizeof nobody) < 0)
    shutdown(stream->fd, SHUT_RDWR);
}

void stream_close(struct stream *stream, bool reset) {
  if (!stream_is_open(stream))
    return;
  poller_forget(&stream->loop->poller, &stream->source);
  if (stream->ops->close)
    stream->ops->close(stream);
  stream->ops = NULL;
  stream->on_ready = NULL;
  stream->readiness = 0;
  buffer_free(stream->unread);
  stream->unread = NULL;
  if (reset) {
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    setsockopt(stream->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
  }
  close(stream->fd);
  stream->fd = -1;
}

static ssize_t read_unread(struct stream *stream, void *bytes, size_t size) {
  size_t here = buffer_size(stream->unread);
  size_t count = here < size ? here : size;
  memcpy(bytes, buffer_bytes(stream->unread), count);
  buffer_consume(stream->unread, count);
  if (count == here) {
    buffer_free(stream->unread);
    stream->unread = NULL;
  }
  return (ssize_t)count;
}

ssize_t stream_read(struct stream *stream, void *bytes, size_t size) {
  if (stream->unread)
    return read_unread(stream, bytes, size);
  return stream->ops->read(stream, bytes, size);
}

int stream_unread(struct stream *stream, const void *bytes, size_t size) {
  return size ? buffer_prepend(&stream->unread, bytes, size) : 0;
}

ssize_t stream_writev(struct stream *stream, const struct iovec *parts, int count) {
  return stream->ops->writev(stream, parts, count);
}

ssize_t stream_write(struct stream *stream, const void *bytes, size_t size) {
  struct iovec part = {.iov_base = (void *)bytes, .iov_len = size};
  return stream->ops->writev(stream, &part, 1);
}

int stream_shutdown(struct stream *stream) { return stream->ops->shutdown(stream); }

/* What a call that read `got` of `asked` bytes tells about the next one. A short read has emptied the queue, unless the
 * end or an error stands behind the bytes (epoll(7), question 9), or it stopped at urgent data. */
static ssize_t after_read(struct stream *stream, ssize_t got, size_t asked) {
  if (got > 0) {
    if (stream->tally)
      tally_in(stream->tally, (size_t)got);
    if ((size_t)got < asked && !(stream->readiness & (STREAM_ENDED | STREAM_FAILED | STREAM_URGENT)))
      stream->readiness &= (uint8_t)~STREAM_READABLE;
    return got;
  }
  if (got == 0)
    return 0;
  if (errno == EAGAIN) {
    stream->readiness &= (uint8_t)~STREAM_READABLE;
    return STREAM_WANT_READ;
  }
  return -errno;
}

static void is_full(struct stream *stream) {
  stream->readiness &= (uint8_t)~STREAM_WRITABLE;
  if (!stream->watches_writable)
    watch_writable(stream); /* changing what is watched can't fail for lack of anything */
}

static ssize_t after_write(struct stream *stream, ssize_t put, size_t asked) {
  if (put >= 0) {
    if (stream->tally)
      tally_out(stream->tally, (size_t)put);
    if ((size_t)put < asked)
      is_full(stream);
    return put;
  }
  if (errno == EAGAIN) {
    is_full(stream);
    return STREAM_WANT_WRITE;
  }
  return -errno;
}

static ssize_t socket_read(struct stream *stream, void *bytes, size_t size) {
  ssize_t got;
  do
    got = recv(stream->fd, bytes, size, 0);
  while (got < 0 && errno == EINTR);
  return after_read(stream, got, size);
}

static ssize_t socket_writev(struct stream *stream, const struct iovec *parts, int count) {
  size_t size = 0;
  for (int i = 0; i < count; i++)
    size += parts[i].iov_len;
  ssize_t put;
  do {
    if (count == 1) {
      put = send(stream->fd, parts->iov_base, parts->iov_len, MSG_NOSIGNAL);
    } else {
      struct msghdr message = {.msg_iov = (struct iovec *)parts, .msg_iovlen = (size_t)count};
      put = sendmsg(stream->fd, &message, MSG_NOSIGNAL);
    }
  } while (put < 0 && errno == EINTR);
  return after_write(stream, put, size);
}

/* ENOTCONN: the peer has reset; the next read or write says so. */
static int socket_shutdown(struct stream *stream) {
  if (shutdown(stream->fd, SHUT_WR) < 0)
    return errno == ENOTCONN ? 0 : -errno;
  stream->is_shut = true;
  return 0;
}

const struct stream_ops socket_stream_ops = {
    .name = "socket",
    .read = socket_read,
    .writev = socket_writev,
    .shutdown = socket_shutdown,
    .is_plain = true,
};

ssize_t stream_peek(struct stream *stream, void *bytes, size_t size) {
  ssize_t got;
  do
    got = recv(stream->fd, bytes, size, MSG_PEEK);
  while (got < 0 && errno == EINTR);
  if (got >= 0)
    return got;
  if (errno != EAGAIN)
    return -errno;
  stream->readiness &= (uint8_t)~STREAM_READABLE;
  return STREAM_WANT_READ;
}

/* By reading: only TCP can drop bytes without (MSG_TRUNC, tcp(7)), and a spec's client is a unix socket. */
int stream_skip(struct stream *stream, size_t size) {
  uint8_t dropped[512];
  while (size > 0) {
    ssize_t got = recv(stream->fd, dropped, size < sizeof dropped ? size : sizeof dropped, 0);
    if (got < 0 && errno == EINTR)
      continue;
    if (got <= 0)
      return got == 0 ? -ECONNRESET : -errno;
    size -= (size_t)got;
  }
  return 0;
}

static const char *const proxy_signatures[] = {"PROXY ", "\r\n\r\n\0\r\nQUIT\n"};
static const size_t proxy_signature_sizes[] = {6, 12};
enum { GUARD_SECOND = 128 }; /* beside the count: it is the second signature that has begun */

static ssize_t guarded_read(struct stream *stream, void *bytes, size_t size) {
  if (stream_is_tripped(stream))
    return STREAM_REFUSED;
  ssize_t got = socket_read(stream, bytes, size);
  for (ssize_t i = 0; i < got; i++) {
    char byte = ((const char *)bytes)[i];
    if (stream->guarded == 0 && byte == proxy_signatures[1][0])
      stream->guarded = GUARD_SECOND;
    bool second = stream->guarded & GUARD_SECOND;
    size_t count = stream->guarded & (GUARD_SECOND - 1);
    if (byte != proxy_signatures[second][count]) {
      stream->ops = &socket_stream_ops;
      return got;
    }
    stream->guarded++;
    if (count + 1 == proxy_signature_sizes[second]) {
      stream->guarded = STREAM_GUARD_TRIPPED;
      return STREAM_REFUSED;
    }
  }
  return got;
}

static ssize_t guarded_writev(struct stream *stream, const struct iovec *parts, int count) {
  return stream_is_tripped(stream) ? STREAM_REFUSED : socket_writev(stream, parts, count);
}

static const struct stream_ops guarded_stream_ops = {
    .name = "guarded socket",
    .read = guarded_read,
    .writev = guarded_writev,
    .shutdown = socket_shutdown,
    .is_plain = true, /* of what comes from it, at least a byte is read before anything is spliced */
};

void stream_guard(struct stream *stream) {
  stream->guarded = 0;
  stream->ops = &guarded_stream_ops;
}

/* A pipe that is full looks like a socket that is empty (both EAGAIN): the caller splices into an empty pipe only. A
 * short count says nothing either, because a pipe is full by its number of pieces, so STREAM_READABLE stays. */
ssize_t stream_splice_in(struct stream *stream, int pipe_fd, size_t size) {
  ssize_t got;
  do
    got = splice(stream->fd, NULL, pipe_fd, NULL, size, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  while (got < 0 && errno == EINTR);
  return after_read(stream, got, 0);
}

ssize_t stream_splice_out(struct stream *stream, int pipe_fd, size_t size) {
  ssize_t put;
  do
    put = splice(pipe_fd, NULL, stream->fd, NULL, size, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  while (put < 0 && errno == EINTR);
  return after_write(stream, put, size);
}

/* SIOCOUTQ: what the peer has not acknowledged, a FIN counting as one; on a unix socket, what it has not read. */
static int unacknowledged(const struct stream *stream) {
  int bytes;
  return ioctl(stream->fd, SIOCOUTQ, &bytes) == 0 && bytes >= 0 ? bytes : -1;
}

size_t stream_unsent(const struct stream *stream) {
  if (!stream_is_open(stream))
    return 0;
  size_t held = stream->ops->held ? stream->ops->held(stream) : 0;
  int bytes = unacknowledged(stream);
  if (bytes <= 0)
    return held;
  return held + (size_t)(stream->is_shut ? bytes - 1 : bytes);
}

/* TLS shuts the socket down only behind close_notify. */
bool stream_end_arrived(const struct stream *stream) {
  return stream_is_open(stream) && stream->is_shut && unacknowledged(stream) == 0;
}
