/* SPDX-License-Identifier: MIT
 *
 * TLS connections that are passed through by their server name: each sends a ClientHello with one of --domains names,
 * in random order, and waits for the target's answer and end. The target is here too, on --target: it answers with one
 * byte, and closes. Prints one line of JSON, with the processor time that the process --watch used for the connections
 * that were counted. `hello --names COUNT` prints the names. */
#include "options.h"

enum { HELLO_SIZE = 512 };

struct options {
  uint64_t port, target, domains, connections, names, warm_ms, milliseconds, watched;
};

/* One end of a connection; which is said by where it is. */
struct end {
  int fd;
  bool is_target, is_answered;
};

struct load {
  struct options options;
  int epoll, listener;
  struct end *clients;
  struct end *targets; /* by their descriptors */
  struct end accepting;
  uint64_t units, errors, random;
};

static size_t put(uint8_t *at, const void *bytes, size_t size) {
  memcpy(at, bytes, size);
  return size;
}

static void put_length(uint8_t *at, size_t length) {
  at[0] = (uint8_t)(length >> 8);
  at[1] = (uint8_t)length;
}

/* A record with a ClientHello of TLS 1.3 (RFC 8446 section 4.1.2): server_name, supported_versions, and padding to the
 * size that hellos have. */
static size_t hello_write(uint8_t *hello, const char *name) {
  static const uint8_t head[] = {22, 3, 1, 0, 0, 1, 0, 0, 0, 3, 3};
  static const uint8_t ciphers[] = {0, 0, 4, 0x13, 1, 0x13, 2, 1, 0};
  static const uint8_t versions[] = {0, 43, 0, 3, 2, 3, 4};
  size_t length = strlen(name), at = put(hello, head, sizeof head);
  memset(hello + at, 7, 32);
  at += 32;
  at += put(hello + at, ciphers, sizeof ciphers);
  size_t extensions = at;
  at += 2;
  put_length(hello + at, 0);
  put_length(hello + at + 2, length + 5);
  put_length(hello + at + 4, length + 3);
  hello[at + 6] = 0;
  put_length(hello + at + 7, length);
  at += 9;
  at += put(hello + at, name, length);
  at += put(hello + at, versions, sizeof versions);
  size_t padding = HELLO_SIZE - at - 4;
  put_length(hello + at, 21);
  put_length(hello + at + 2, padding);
  memset(hello + at + 4, 0, padding);
  put_length(hello + extensions, HELLO_SIZE - extensions - 2);
  put_length(hello + 3, HELLO_SIZE - 5);
  put_length(hello + 7, HELLO_SIZE - 9);
  return HELLO_SIZE;
}

static void fail(struct load *load, const char *what) {
  if (++load->errors > 20)
    die("too many errors, the last: %s: %s", what, strerror(errno));
}

static void client_connect(struct load *load, struct end *client) {
  *client = (struct end){.fd = connect_start((uint16_t)load->options.port)};
  if (client->fd < 0 || epoll_put(load->epoll, EPOLL_CTL_ADD, client->fd, EPOLLOUT, client))
    die("connecting to 127.0.0.1:%" PRIu64 ": %s", load->options.port, strerror(errno));
}

static void hello_send(struct load *load, struct end *client) {
  uint8_t hello[HELLO_SIZE];
  char name[DOMAIN_NAME_SIZE];
  load->random ^= load->random << 13, load->random ^= load->random >> 7, load->random ^= load->random << 17;
  domain_name_write(name, load->random % load->options.domains);
  if (send(client->fd, hello, hello_write(hello, name), MSG_NOSIGNAL) != HELLO_SIZE)
    fail(load, "send");
  epoll_put(load->epoll, EPOLL_CTL_MOD, client->fd, EPOLLIN, client);
}

static void on_client(struct load *load, struct end *client, uint32_t events) {
  char answer[16];
  if (events & EPOLLOUT && !(events & EPOLLERR)) {
    hello_send(load, client);
    return;
  }
  ssize_t got = recv(client->fd, answer, sizeof answer, 0);
  if (got < 0 && errno == EAGAIN)
    return;
  if (got == 1) {
    client->is_answered = true;
    return;
  }
  if (got != 0 || !client->is_answered)
    fail(load, got < 0 ? "recv" : "no answer");
  load->units += got == 0 && client->is_answered;
  close(client->fd);
  client_connect(load, client);
}

static void on_target(struct load *load, struct end *target) {
  char hello[2 * HELLO_SIZE];
  ssize_t got = recv(target->fd, hello, sizeof hello, 0);
  if (got < 0 && errno == EAGAIN)
    return;
  if (got > 0 && !target->is_answered) {
    target->is_answered = true;
    if (send(target->fd, "x", 1, MSG_NOSIGNAL) != 1 || shutdown(target->fd, SHUT_WR))
      fail(load, "answer");
    return;
  }
  if (got <= 0)
    close(target->fd);
}

enum { TARGETS_MOST = 65536 };

static void on_accept(struct load *load) {
  for (int fd; (fd = accept4(load->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
    if (fd >= TARGETS_MOST)
      die("too many connections at once");
    load->targets[fd] = (struct end){.fd = fd, .is_target = true};
    no_delay(fd);
    if (epoll_put(load->epoll, EPOLL_CTL_ADD, fd, EPOLLIN, &load->targets[fd]))
      close(fd);
  }
}

static void load_run(struct load *load, uint64_t end) {
  struct epoll_event events[BATCH_SIZE];
  while (now_ns() < end) {
    int count = epoll_wait(load->epoll, events, BATCH_SIZE, 100);
    for (int i = 0; i < count; i++) {
      struct end *its = events[i].data.ptr;
      if (its == &load->accepting)
        on_accept(load);
      else if (its->is_target)
        on_target(load, its);
      else
        on_client(load, its, events[i].events);
    }
  }
}

static void options_parse(struct options *options, int argc, char **argv) {
  static const char usage[] = "hello --names COUNT | --port PORT --target PORT [--domains 100] [--connections 16] "
                              "[--warm-ms 200] [--milliseconds 1000] [--watch PID]";
  *options = (struct options){.domains = 100, .connections = 16, .warm_ms = 200, .milliseconds = 1000};
  const struct option_spec specs[] = {
      OPTION_PORT(&options->port),
      {.name = "target", .number = &options->target, .least = 1, .most = 65535},
      {.name = "domains", .number = &options->domains, .least = 1, .most = 1000000},
      OPTION_CONNECTIONS(&options->connections),
      OPTION_MS("warm-ms", &options->warm_ms, 0),
      OPTION_MS("milliseconds", &options->milliseconds, 1),
      OPTION_WATCH(&options->watched),
      {.name = "names", .number = &options->names, .least = 1, .most = 1000000},
  };
  options_read(specs, sizeof specs / sizeof specs[0], usage, argc, argv);
  if (!options->names && (!options->port || !options->target))
    usage_print(usage);
}

/* Until the process has done what it does after its start: nothing is asked of it yet. At most ten seconds. */
static void await_quiet(int watched) {
  enum { LOOK_NS = 300000000, QUIET_NS = 2000000, LOOKS = 33 };
  for (int i = 0; watched && i < LOOKS; i++) {
    uint64_t before = process_run_ns(watched);
    nanosleep(&(struct timespec){.tv_nsec = LOOK_NS}, NULL);
    if (process_run_ns(watched) - before < QUIET_NS)
      return;
  }
}

static void print_names(size_t count) {
  char name[DOMAIN_NAME_SIZE];
  for (size_t i = 0; i < count; i++) {
    domain_name_write(name, i);
    puts(name);
  }
}

int main(int argc, char **argv) {
  struct load load = {.epoll = epoll_open(), .random = 88172645463325252};
  options_parse(&load.options, argc, argv);
  if (load.options.names) {
    print_names(load.options.names);
    return 0;
  }
  descriptors_raise();
  await_quiet((int)load.options.watched);
  load.listener = listener_open((uint16_t)load.options.target);
  load.clients = calloc(load.options.connections, sizeof *load.clients);
  load.targets = calloc(TARGETS_MOST, sizeof *load.targets);
  if (!load.clients || !load.targets || epoll_put(load.epoll, EPOLL_CTL_ADD, load.listener, EPOLLIN, &load.accepting))
    die("starting: %s", strerror(errno));
  for (size_t i = 0; i < load.options.connections; i++)
    client_connect(&load, &load.clients[i]);
  load_run(&load, now_ns() + load.options.warm_ms * 1000000U);
  load.units = 0;
  uint64_t cpu = process_run_ns((int)load.options.watched), start = now_ns();
  load_run(&load, start + load.options.milliseconds * 1000000U);
  double took = (double)(now_ns() - start) / 1e9;
  cpu = process_run_ns((int)load.options.watched) - cpu;
  printf("{\"units\": %" PRIu64 ", \"seconds\": %.4f, \"rate\": %.1f, \"cpu_seconds\": %.6f, \"errors\": %" PRIu64
         "}\n",
         load.units, took, (double)load.units / took, (double)cpu / 1e9, load.errors);
  free(load.clients);
  free(load.targets);
  return load.errors || !load.units ? 1 : 0;
}
