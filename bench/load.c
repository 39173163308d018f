/* SPDX-License-Identifier: MIT
 *
 * Small requests in a closed loop: each connection asks, reads the whole answer, asks again; with keep-alive, or
 * (--new) on a new connection each time, which ends with the back end's FIN; with --proxy each of these begins with a
 * PROXY header. Prints one line of JSON: rate, latency, and the processor time that the process --watch used for
 * exactly the requests that were counted. */
#include "options.h"

enum { ANSWER_LIMIT = 4096, SAMPLE_LIMIT = 4 * 1024 * 1024 };

struct options {
  uint64_t port, watched, connections, warm_ms, milliseconds;
  bool renews, introduces;
};

struct client {
  int fd;
  uint64_t started; /* ns; when the request, or with --new the connection, was begun */
  size_t size;
  char answer[ANSWER_LIMIT];
};

struct load {
  struct options options;
  int epoll;
  const char *request;
  struct client *clients;
  uint64_t requests, errors;
  uint32_t *samples; /* ns, at most 4.2 s each */
  size_t sample_count;
  char first_error[128];
};

static void client_fail(struct load *load, const char *what) {
  if (!load->errors++)
    snprintf(load->first_error, sizeof load->first_error, "%s: %s", what, errno ? strerror(errno) : "unexpected");
  if (load->errors > 100)
    die("too many errors, the first: %s", load->first_error);
}

static void request_send(struct load *load, struct client *client) {
  size_t size = strlen(load->request);
  client->size = 0;
  errno = 0;
  if (send(client->fd, load->request, size, MSG_NOSIGNAL) != (ssize_t)size)
    client_fail(load, "send");
}

static void client_connect(struct load *load, struct client *client) {
  client->started = now_ns();
  client->size = 0;
  client->fd = connect_start((uint16_t)load->options.port);
  if (client->fd < 0)
    die("connecting to 127.0.0.1:%" PRIu64 ": %s", load->options.port, strerror(errno));
  if (epoll_put(load->epoll, EPOLL_CTL_ADD, client->fd, EPOLLOUT, client))
    die("epoll_ctl: %s", strerror(errno));
}

static void client_reconnect(struct load *load, struct client *client) {
  close(client->fd);
  client_connect(load, client);
}

/* The size of the answer with its head, 0 while unknown, or SIZE_MAX for one that is none. */
static size_t answer_size(const struct client *client) {
  const char *end = memmem(client->answer, client->size, "\r\n\r\n", 4);
  if (!end)
    return client->size < ANSWER_LIMIT ? 0 : SIZE_MAX;
  const char *length = memmem(client->answer, client->size, "Content-Length: ", 16);
  if (strncmp(client->answer, "HTTP/1.1 200", 12) != 0 || !length)
    return SIZE_MAX;
  return (size_t)(end + 4 - client->answer) + (size_t)strtoull(length + 16, NULL, 10);
}

static void answer_count(struct load *load, struct client *client, uint64_t now) {
  uint64_t took = now - client->started;
  load->requests++;
  if (load->sample_count < SAMPLE_LIMIT)
    load->samples[load->sample_count++] = took < UINT32_MAX ? (uint32_t)took : UINT32_MAX;
}

static void on_readable(struct load *load, struct client *client) {
  errno = 0;
  ssize_t got = recv(client->fd, client->answer + client->size, ANSWER_LIMIT - client->size, 0);
  if (got < 0 && errno == EAGAIN)
    return;
  client->size += got > 0 ? (size_t)got : 0;
  size_t whole = answer_size(client);
  bool complete = whole && client->size == whole;
  if (got < 0 || whole == SIZE_MAX || client->size > (whole ? whole : SIZE_MAX) || (!got && !complete) ||
      (!got && !load->options.renews)) {
    client_fail(load, got < 0 ? "recv" : got ? "answer" : "closed early");
    client_reconnect(load, client);
  } else if (!got) { /* its end is part of what is measured */
    answer_count(load, client, now_ns());
    client_reconnect(load, client);
  } else if (complete && !load->options.renews) {
    uint64_t now = now_ns();
    answer_count(load, client, now);
    client->started = now;
    request_send(load, client);
  }
}

static void on_event(struct load *load, struct client *client, uint32_t events) {
  if (!(events & EPOLLOUT)) {
    on_readable(load, client);
    return;
  }
  int code = 0;
  socklen_t size = sizeof code;
  getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &code, &size);
  errno = code;
  if (code) {
    client_fail(load, "connect");
    client_reconnect(load, client);
    return;
  }
  epoll_put(load->epoll, EPOLL_CTL_MOD, client->fd, EPOLLIN, client);
  request_send(load, client);
}

/* Runs the loop until `end`. */
static void load_run(struct load *load, uint64_t end) {
  struct epoll_event events[BATCH_SIZE];
  while (now_ns() < end) {
    int count = epoll_wait(load->epoll, events, BATCH_SIZE, 100);
    for (int i = 0; i < count; i++)
      on_event(load, events[i].data.ptr, events[i].events);
  }
}

static int samples_compare(const void *left, const void *right) {
  uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
  return (a > b) - (a < b);
}

static double percentile_us(const struct load *load, double share) {
  return load->sample_count ? load->samples[(size_t)(share * (double)(load->sample_count - 1))] / 1000.0 : 0;
}

static void options_parse(struct options *options, int argc, char **argv) {
  static const char usage[] = "load --port PORT [--connections 64] [--warm-ms 200] [--milliseconds 1000] "
                              "[--watch PID] [--new [--proxy]]";
  *options = (struct options){.connections = 64, .warm_ms = 200, .milliseconds = 1000};
  const struct option_spec specs[] = {
      OPTION_PORT(&options->port),
      OPTION_CONNECTIONS(&options->connections),
      OPTION_MS("warm-ms", &options->warm_ms, 0),
      OPTION_MS("milliseconds", &options->milliseconds, 1),
      OPTION_WATCH(&options->watched),
      {.name = "new", .flag = &options->renews},
      {.name = "proxy", .flag = &options->introduces},
  };
  options_read(specs, sizeof specs / sizeof specs[0], usage, argc, argv);
  if (!options->port || (options->introduces && !options->renews))
    usage_print(usage);
}

static const char *request_of(const struct options *options) {
  if (options->introduces)
    return "PROXY TCP4 127.0.0.9 127.0.0.1 40000 443\r\nGET /small HTTP/1.1\r\nHost: bench.test\r\n"
           "Connection: close\r\n\r\n";
  return options->renews ? "GET /small HTTP/1.1\r\nHost: bench.test\r\nConnection: close\r\n\r\n"
                         : "GET /small HTTP/1.1\r\nHost: bench.test\r\n\r\n";
}

int main(int argc, char **argv) {
  struct load load = {.epoll = epoll_open(), .samples = malloc(SAMPLE_LIMIT * sizeof(uint32_t))};
  options_parse(&load.options, argc, argv);
  descriptors_raise();
  load.request = request_of(&load.options);
  load.clients = calloc(load.options.connections, sizeof *load.clients);
  if (!load.clients || !load.samples)
    die("no memory");
  for (size_t i = 0; i < load.options.connections; i++)
    client_connect(&load, &load.clients[i]);
  load_run(&load, now_ns() + load.options.warm_ms * 1000000U);
  load.requests = load.sample_count = 0;
  uint64_t cpu = process_run_ns((int)load.options.watched), start = now_ns();
  load_run(&load, start + load.options.milliseconds * 1000000U);
  double took = (double)(now_ns() - start) / 1e9;
  cpu = process_run_ns((int)load.options.watched) - cpu;
  if (!load.requests)
    die("no request was answered in %.1f s; %s", took, load.first_error);
  qsort(load.samples, load.sample_count, sizeof *load.samples, samples_compare);
  printf("{\"units\": %" PRIu64 ", \"seconds\": %.4f, \"rate\": %.1f, \"p50_us\": %.1f, \"p99_us\": %.1f, "
         "\"cpu_seconds\": %.6f, \"errors\": %" PRIu64 ", \"first_error\": \"%s\"}\n",
         load.requests, took, (double)load.requests / took, percentile_us(&load, 0.5), percentile_us(&load, 0.99),
         (double)cpu / 1e9, load.errors, load.first_error);
  free(load.samples);
  free(load.clients);
  return load.errors ? 1 : 0;
}
