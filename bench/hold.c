/* SPDX-License-Identifier: MIT
 *
 * Idle connections: opens a number of them, sends one small request on each (unless --silent) so that the connection
 * behind the proxy stands too, prints one line of JSON once all are there, and keeps them until standard input ends or
 * the time is up. Exits 1 when one was refused or lost. */
#include "options.h"

#include <poll.h>

enum { OPENING_AT_ONCE = 128, ANSWER_LIMIT = 4096 };

static const char request[] = "GET /small HTTP/1.1\r\nHost: bench.test\r\n\r\n";

struct options {
  uint64_t port, connections, limit_ms;
  bool silent;
};

struct hold {
  struct options options;
  int epoll;
  size_t opened, ready;
};

static void next_open(struct hold *hold) {
  int fd = connect_start((uint16_t)hold->options.port);
  if (fd < 0 || epoll_put(hold->epoll, EPOLL_CTL_ADD, fd, EPOLLOUT, (void *)(intptr_t)fd))
    die("connection %zu: %s", hold->opened + 1, strerror(errno));
  hold->opened++;
}

/* Once one stands, it is watched for its end only. */
static void on_opening(struct hold *hold, int fd, uint32_t events) {
  char answer[ANSWER_LIMIT];
  if (events & (EPOLLERR | EPOLLHUP))
    die("connection refused or reset after %zu had been opened", hold->ready);
  if (events & EPOLLOUT && !hold->options.silent) {
    if (send(fd, request, sizeof request - 1, MSG_NOSIGNAL) != sizeof request - 1)
      die("send: %s", strerror(errno));
    epoll_put(hold->epoll, EPOLL_CTL_MOD, fd, EPOLLIN, (void *)(intptr_t)fd);
    return;
  }
  if (!hold->options.silent && recv(fd, answer, sizeof answer, 0) <= 0)
    die("closed without an answer after %zu had been opened", hold->ready);
  epoll_put(hold->epoll, EPOLL_CTL_MOD, fd, EPOLLRDHUP, (void *)(intptr_t)fd);
  hold->ready++;
}

static void all_open(struct hold *hold, uint64_t end) {
  struct epoll_event events[BATCH_SIZE];
  while (hold->ready < hold->options.connections) {
    while (hold->opened < hold->options.connections && hold->opened - hold->ready < OPENING_AT_ONCE)
      next_open(hold);
    int count = epoll_wait(hold->epoll, events, BATCH_SIZE, 100);
    for (int i = 0; i < count; i++) {
      if (events[i].events & EPOLLRDHUP)
        die("a connection was closed while the others were opened");
      on_opening(hold, (int)(intptr_t)events[i].data.ptr, events[i].events);
    }
    if (now_ns() > end)
      die("%zu of %" PRIu64 " connections stood when the time was up", hold->ready, hold->options.connections);
  }
}

static bool input_ended(void) {
  struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
  char bytes[256];
  return poll(&input, 1, 20) > 0 && read(STDIN_FILENO, bytes, sizeof bytes) <= 0;
}

static void options_parse(struct options *options, int argc, char **argv) {
  static const char usage[] = "hold --port PORT [--connections 1000] [--limit-ms 60000] [--silent]";
  *options = (struct options){.connections = 1000, .limit_ms = 60000};
  const struct option_spec specs[] = {
      OPTION_PORT(&options->port),
      OPTION_CONNECTIONS(&options->connections),
      OPTION_MS("limit-ms", &options->limit_ms, 1),
      {.name = "silent", .flag = &options->silent},
  };
  options_read(specs, sizeof specs / sizeof specs[0], usage, argc, argv);
  if (!options->port)
    usage_print(usage);
}

int main(int argc, char **argv) {
  struct hold hold = {.epoll = epoll_open()};
  options_parse(&hold.options, argc, argv);
  descriptors_raise();
  uint64_t start = now_ns(), end = start + hold.options.limit_ms * 1000000U;
  all_open(&hold, end);
  printf("{\"units\": %zu, \"seconds\": %.4f, \"errors\": 0}\n", hold.ready, (double)(now_ns() - start) / 1e9);
  fflush(stdout);
  while (now_ns() < end && !input_ended()) {
    struct epoll_event event;
    if (epoll_wait(hold.epoll, &event, 1, 0) > 0)
      die("a held connection was closed");
  }
  return 0;
}
