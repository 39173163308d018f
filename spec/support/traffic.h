/* SPDX-License-Identifier: MIT
 *
 * What the traffic client and the traffic server share: pseudo-random content that each end can check byte for byte
 * without having stored it, and a transfer both ways over one socket. Which transfers there are is up to the two
 * programs. */
#pragma once

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
  TRAFFIC_CHUNK = 64 * 1024,
  TRAFFIC_PATIENCE_MS = 60 * 1000, /* without any progress */
};

#define TRAFFIC_MAGIC 0x6d6f6f6e67617465u

/* What a client says first. Both ends run on one machine: its byte order. */
struct traffic_request {
  uint64_t magic;
  uint64_t seed;
  uint64_t up;        /* bytes that the client will send */
  uint64_t down;      /* bytes that it wants, under seed + 1 */
  uint32_t half_ends; /* the client ends its side after `up`, and the verdict is to come only then */
  uint32_t pace;      /* bytes that the server reads in a millisecond; 0: as they come */
};

/* What a server says last. */
struct traffic_verdict {
  uint64_t received;
  uint64_t wrong; /* bytes that were not what they should be */
};

/* One word of the content (splitmix64). */
static inline uint64_t content_word(uint64_t seed, uint64_t index) {
  uint64_t z = seed + (index + 1) * 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

static inline void content_fill(uint64_t seed, uint64_t offset, uint8_t *bytes, size_t size) {
  while (size > 0) {
    const uint64_t word = content_word(seed, offset / 8);
    const size_t skip = (size_t)(offset % 8);
    const size_t count = size < 8 - skip ? size : 8 - skip;
    memcpy(bytes, (const uint8_t *)&word + skip, count);
    bytes += count;
    offset += count;
    size -= count;
  }
}

/* How many of the bytes are wrong. `scratch` has room for `size` bytes. */
static inline uint64_t content_check(uint64_t seed, uint64_t offset, const uint8_t *bytes, size_t size,
                                     uint8_t *scratch) {
  uint64_t wrong = 0;
  content_fill(seed, offset, scratch, size);
  if (memcmp(bytes, scratch, size) == 0)
    return 0;
  for (size_t i = 0; i < size; i++)
    wrong += bytes[i] != scratch[i];
  return wrong;
}

struct transfer {
  int fd; /* non-blocking */
  uint64_t seed_out, seed_in;
  uint64_t to_send, to_receive;
  uint64_t sent, received, wrong;
  uint32_t pace;                /* bytes to read in a millisecond; 0: as they come */
  bool end;                     /* end this side when all is sent */
  uint8_t *out, *in, *scratch;  /* TRAFFIC_CHUNK bytes each */
  uint64_t filled_from, filled; /* what of the content is in `out` */
};

static inline int transfer_init(struct transfer *transfer, int fd) {
  *transfer = (struct transfer){.fd = fd, .out = malloc((size_t)3 * TRAFFIC_CHUNK)};
  if (!transfer->out)
    return -ENOMEM;
  transfer->in = transfer->out + TRAFFIC_CHUNK;
  transfer->scratch = transfer->in + TRAFFIC_CHUNK;
  return 0;
}

static inline void transfer_deinit(struct transfer *transfer) { free(transfer->out); }

static inline int transfer_await(int fd, short events) {
  struct pollfd poll_fd = {.fd = fd, .events = events};
  int ready;
  do
    ready = poll(&poll_fd, 1, TRAFFIC_PATIENCE_MS);
  while (ready < 0 && errno == EINTR);
  return ready > 0 ? 0 : ready == 0 ? -ETIMEDOUT : -errno;
}

static inline int transfer_send_some(struct transfer *transfer) {
  if (transfer->sent >= transfer->filled_from + transfer->filled) {
    const uint64_t left = transfer->to_send - transfer->sent;
    transfer->filled_from = transfer->sent;
    transfer->filled = left < TRAFFIC_CHUNK ? left : TRAFFIC_CHUNK;
    content_fill(transfer->seed_out, transfer->filled_from, transfer->out, (size_t)transfer->filled);
  }
  const size_t skip = (size_t)(transfer->sent - transfer->filled_from);
  const ssize_t count = send(transfer->fd, transfer->out + skip, (size_t)transfer->filled - skip, MSG_NOSIGNAL);
  if (count < 0)
    return errno == EAGAIN || errno == EINTR ? 0 : -errno;
  transfer->sent += (uint64_t)count;
  if (transfer->sent == transfer->to_send && transfer->end && shutdown(transfer->fd, SHUT_WR) < 0)
    return -errno;
  return 0;
}

static inline int transfer_receive_some(struct transfer *transfer) {
  const uint64_t left = transfer->to_receive - transfer->received;
  size_t size = left < TRAFFIC_CHUNK ? (size_t)left : TRAFFIC_CHUNK;
  if (transfer->pace > 0) {
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    size = size < transfer->pace ? size : transfer->pace;
  }
  const ssize_t count = recv(transfer->fd, transfer->in, size, 0);
  if (count < 0)
    return errno == EAGAIN || errno == EINTR ? 0 : -errno;
  if (count == 0)
    return -EPIPE;
  transfer->wrong +=
      content_check(transfer->seed_in, transfer->received, transfer->in, (size_t)count, transfer->scratch);
  transfer->received += (uint64_t)count;
  return 0;
}

/* Both ways until all is sent and received: 0. -EPIPE when the other side ended too early, -ETIMEDOUT when nothing
 * moved for TRAFFIC_PATIENCE_MS, else what the socket failed with. */
static inline int transfer_run(struct transfer *transfer) {
  if (transfer->to_send == 0 && transfer->end && shutdown(transfer->fd, SHUT_WR) < 0)
    return -errno;
  while (transfer->sent < transfer->to_send || transfer->received < transfer->to_receive) {
    const bool sending = transfer->sent < transfer->to_send, receiving = transfer->received < transfer->to_receive;
    struct pollfd poll_fd = {.fd = transfer->fd, .events = (short)((sending ? POLLOUT : 0) | (receiving ? POLLIN : 0))};
    const int ready = poll(&poll_fd, 1, TRAFFIC_PATIENCE_MS);
    if (ready == 0)
      return -ETIMEDOUT;
    if (ready < 0 && errno != EINTR)
      return -errno;
    const bool trouble = poll_fd.revents & (POLLERR | POLLHUP);
    int status = receiving && (trouble || poll_fd.revents & POLLIN) ? transfer_receive_some(transfer) : 0;
    if (status == 0 && sending && (trouble || poll_fd.revents & POLLOUT))
      status = transfer_send_some(transfer);
    if (status < 0)
      return status;
  }
  return 0;
}

/* All of it: 0, or a negative errno. */
static inline int traffic_send_all(int fd, const void *bytes, size_t size) {
  for (size_t sent = 0; sent < size;) {
    const ssize_t count = send(fd, (const uint8_t *)bytes + sent, size - sent, MSG_NOSIGNAL);
    if (count < 0 && errno != EAGAIN && errno != EINTR)
      return -errno;
    sent += count > 0 ? (size_t)count : 0;
    const int status = count < 0 ? transfer_await(fd, POLLOUT) : 0;
    if (status < 0)
      return status;
  }
  return 0;
}

/* Up to `size` bytes, fewer only at the end: how many, or a negative errno. */
static inline ssize_t traffic_receive_all(int fd, void *bytes, size_t size) {
  for (size_t received = 0; received < size;) {
    const ssize_t count = recv(fd, (uint8_t *)bytes + received, size - received, 0);
    if (count < 0 && errno != EAGAIN && errno != EINTR)
      return -errno;
    if (count == 0)
      return (ssize_t)received;
    received += count > 0 ? (size_t)count : 0;
    const int status = count < 0 ? transfer_await(fd, POLLIN) : 0;
    if (status < 0)
      return status;
  }
  return (ssize_t)size;
}

/* 0 when the other side has ended and sent nothing more; -EPROTO when it has sent something. */
static inline int traffic_expect_end(int fd) {
  uint8_t byte;
  const ssize_t count = traffic_receive_all(fd, &byte, 1);
  return count == 0 ? 0 : count > 0 ? -EPROTO : (int)count;
}

static inline void traffic_reset(int fd) {
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1}, sizeof(struct linger));
  close(fd);
}
