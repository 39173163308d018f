/* SPDX-License-Identifier: MIT
 *
 * Bulk transfers: parallel connections that download (or, with --upload, send) a number of bytes in all, each byte
 * compared with the pattern. Prints one line of JSON: rate, errors, and the processor time that the process --watch
 * used meanwhile. --pause-us waits after each read, for a slow reader; --half-closes ends the sending side first. */
#include "options.h"

struct options {
  uint64_t port, watched, connections, bytes, limit_ms, pause_us;
  bool uploads, half_closes;
};

struct transfer {
  int fd;
  bool started, done, head_read;
  uint64_t size, moved;
  size_t head_size;
  char head[1024];
};

struct bulk {
  struct options options;
  int epoll;
  uint8_t *pattern, *buffer;
  struct transfer *transfers;
  size_t running;
  uint64_t wrong;
};

static void transfer_end(struct bulk *bulk, struct transfer *transfer) {
  close(transfer->fd);
  transfer->done = true;
  bulk->running--;
}

static void transfer_connect(struct bulk *bulk, struct transfer *transfer) {
  transfer->fd = connect_start((uint16_t)bulk->options.port);
  if (transfer->fd < 0 || epoll_put(bulk->epoll, EPOLL_CTL_ADD, transfer->fd, EPOLLOUT, transfer))
    die("connecting to 127.0.0.1:%" PRIu64 ": %s", bulk->options.port, strerror(errno));
}

static void transfer_start(struct bulk *bulk, struct transfer *transfer) {
  char request[256];
  int size = snprintf(request, sizeof request,
                      bulk->options.uploads ? "POST /sink HTTP/1.1\r\nContent-Length: %" PRIu64 "\r\n\r\n"
                                            : "GET /bulk?size=%" PRIu64 " HTTP/1.1\r\nHost: bench.test\r\n\r\n",
                      transfer->size);
  transfer->started = true;
  if (send(transfer->fd, request, (size_t)size, MSG_NOSIGNAL) != size)
    die("the request could not be sent: %s", strerror(errno));
  if (bulk->options.uploads)
    return;
  if (bulk->options.half_closes)
    shutdown(transfer->fd, SHUT_WR);
  epoll_put(bulk->epoll, EPOLL_CTL_MOD, transfer->fd, EPOLLIN, transfer);
}

static void upload_go_on(struct bulk *bulk, struct transfer *transfer) {
  uint64_t left = transfer->size - transfer->moved;
  size_t size = left < CHUNK_SIZE ? (size_t)left : CHUNK_SIZE;
  ssize_t sent = send(transfer->fd, bulk->pattern + transfer->moved % PATTERN_PERIOD, size, MSG_NOSIGNAL);
  if (sent < 0 && errno != EAGAIN)
    die("an upload broke off after %" PRIu64 " bytes: %s", transfer->moved, strerror(errno));
  transfer->moved += sent > 0 ? (uint64_t)sent : 0;
  if (transfer->moved < transfer->size)
    return;
  if (bulk->options.half_closes)
    shutdown(transfer->fd, SHUT_WR);
  epoll_put(bulk->epoll, EPOLL_CTL_MOD, transfer->fd, EPOLLIN, transfer);
}

/* Collects the head of the answer. What follows it in the same read is moved to the start of the buffer, and its size
 * returned. */
static size_t head_take(struct bulk *bulk, struct transfer *transfer, size_t got) {
  size_t before = transfer->head_size;
  size_t copied = got < sizeof transfer->head - 1 - before ? got : sizeof transfer->head - 1 - before;
  memcpy(transfer->head + before, bulk->buffer, copied);
  transfer->head_size += copied;
  char *end = memmem(transfer->head, transfer->head_size, "\r\n\r\n", 4);
  if (!end) {
    if (transfer->head_size == sizeof transfer->head - 1)
      die("an answer without a head");
    return 0;
  }
  size_t used = (size_t)(end + 4 - transfer->head) - before;
  if (strncmp(transfer->head, "HTTP/1.1 200", 12) != 0)
    die("an answer other than 200: %.40s", transfer->head);
  transfer->head_read = true;
  memmove(bulk->buffer, bulk->buffer + used, got - used);
  return got - used;
}

static void body_take(struct bulk *bulk, struct transfer *transfer, size_t size) {
  if (bulk->options.uploads) { /* the sink's verdict, a few bytes in one segment */
    if (size < 8 || memcmp(bulk->buffer, "wrong 0\n", 8) != 0)
      bulk->wrong++;
    transfer_end(bulk, transfer);
    return;
  }
  if (!pattern_matches(bulk->pattern, transfer->moved, bulk->buffer, size))
    bulk->wrong++;
  transfer->moved += size;
  if (transfer->moved > transfer->size)
    die("an answer longer than its length");
  if (transfer->moved == transfer->size)
    transfer_end(bulk, transfer);
}

static void on_readable(struct bulk *bulk, struct transfer *transfer) {
  ssize_t got = recv(transfer->fd, bulk->buffer, CHUNK_SIZE, 0);
  if (got < 0 && errno == EAGAIN)
    return;
  if (got <= 0)
    die("a transfer broke off after %" PRIu64 " of %" PRIu64 " bytes: %s", transfer->moved, transfer->size,
        got ? strerror(errno) : "closed");
  size_t size = transfer->head_read ? (size_t)got : head_take(bulk, transfer, (size_t)got);
  if (size)
    body_take(bulk, transfer, size);
  if (bulk->options.pause_us)
    usleep((useconds_t)bulk->options.pause_us);
}

static void on_event(struct bulk *bulk, struct transfer *transfer, uint32_t events) {
  if (events & EPOLLERR)
    die("a connection broke");
  if (!transfer->started)
    transfer_start(bulk, transfer);
  else if (bulk->options.uploads && transfer->moved < transfer->size)
    upload_go_on(bulk, transfer);
  else
    on_readable(bulk, transfer);
}

static void options_parse(struct options *options, int argc, char **argv) {
  static const char usage[] = "bulk --port PORT [--connections 4] [--bytes 1073741824, at least one a connection] "
                              "[--limit-ms 60000] [--watch PID] [--upload] [--half-closes] [--pause-us 0]";
  *options = (struct options){.connections = 4, .bytes = 1 << 30, .limit_ms = 60000};
  const struct option_spec specs[] = {
      OPTION_PORT(&options->port),
      OPTION_CONNECTIONS(&options->connections),
      {.name = "bytes", .number = &options->bytes, .least = 1, .most = UINT64_C(1) << 44},
      OPTION_MS("limit-ms", &options->limit_ms, 1),
      {.name = "pause-us", .number = &options->pause_us, .most = 100000},
      OPTION_WATCH(&options->watched),
      {.name = "upload", .flag = &options->uploads},
      {.name = "half-closes", .flag = &options->half_closes},
  };
  options_read(specs, sizeof specs / sizeof specs[0], usage, argc, argv);
  if (!options->port || options->bytes < options->connections)
    usage_print(usage);
}

int main(int argc, char **argv) {
  struct bulk bulk = {.epoll = epoll_open(), .pattern = pattern_new(), .buffer = malloc(CHUNK_SIZE)};
  const struct options *options = &bulk.options;
  options_parse(&bulk.options, argc, argv);
  descriptors_raise();
  bulk.running = options->connections;
  bulk.transfers = calloc(bulk.running, sizeof *bulk.transfers);
  if (!bulk.transfers || !bulk.buffer)
    die("no memory");
  uint64_t cpu = process_run_ns((int)options->watched), start = now_ns(), end = start + options->limit_ms * 1000000U;
  for (size_t i = 0; i < options->connections; i++) {
    bulk.transfers[i].size = options->bytes / options->connections;
    if (!i)
      bulk.transfers[i].size += options->bytes % options->connections;
    transfer_connect(&bulk, &bulk.transfers[i]);
  }
  while (bulk.running) {
    struct epoll_event events[BATCH_SIZE];
    int count = epoll_wait(bulk.epoll, events, BATCH_SIZE, 100);
    for (int i = 0; i < count; i++)
      on_event(&bulk, events[i].data.ptr, events[i].events);
    if (now_ns() > end)
      die("%zu of %" PRIu64 " transfers were not done after %.1f s", bulk.running, options->connections,
          (double)options->limit_ms / 1000);
  }
  double took = (double)(now_ns() - start) / 1e9, gib = (double)options->bytes / (1 << 30);
  cpu = process_run_ns((int)options->watched) - cpu;
  printf("{\"units\": %.6f, \"seconds\": %.4f, \"rate\": %.3f, \"cpu_seconds\": %.6f, \"errors\": %" PRIu64 "}\n", gib,
         took, gib / took, (double)cpu / 1e9, bulk.wrong);
  free(bulk.transfers);
  free(bulk.buffer);
  free(bulk.pattern);
  return bulk.wrong ? 1 : 0;
}
