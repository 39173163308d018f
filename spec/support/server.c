/* SPDX-License-Identifier: MIT
 *
 * The target that specs put behind moongate: a thread for each connection, and one behaviour for all of them.
 *
 *   server [exchange|echo|close|reset|silent] [--unix PATH]
 *
 * Prints {"port":N} when it listens, and at SIGTERM what it has counted, as one line of JSON. */
#include "traffic.h"

#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/un.h>

struct server {
  void (*serve)(struct server *server, int fd);
  atomic_ullong connections, active, completed, failed, sent, received, wrong;
};

struct served {
  struct server *server;
  int fd;
};

static volatile sig_atomic_t stopping;

static void on_signal(int number) {
  (void)number;
  stopping = 1;
}

/* Takes what the client announced, gives it what it asked for, and ends with the verdict. */
static int exchange(struct server *server, int fd, struct transfer *transfer) {
  struct traffic_request request;
  const ssize_t size = traffic_receive_all(fd, &request, sizeof request);
  atomic_fetch_add(&server->received, size > 0 ? (unsigned long long)size : 0);
  if (size != sizeof request || request.magic != TRAFFIC_MAGIC)
    return size < 0 ? (int)size : -EPROTO;
  transfer->seed_in = request.seed;
  transfer->seed_out = request.seed + 1;
  transfer->to_receive = request.up;
  transfer->to_send = request.down;
  transfer->pace = request.pace;
  int status = transfer_run(transfer);
  atomic_fetch_add(&server->received, transfer->received);
  atomic_fetch_add(&server->sent, transfer->sent);
  atomic_fetch_add(&server->wrong, transfer->wrong);
  if (status == 0 && request.half_ends)
    status = traffic_expect_end(fd);
  if (status < 0)
    return status;
  const struct traffic_verdict verdict = {.received = transfer->received, .wrong = transfer->wrong};
  status = traffic_send_all(fd, &verdict, sizeof verdict);
  atomic_fetch_add(&server->sent, status == 0 ? sizeof verdict : 0);
  return status;
}

static void serve_exchange(struct server *server, int fd) {
  struct transfer transfer;
  int status = transfer_init(&transfer, fd);
  if (status == 0)
    status = exchange(server, fd, &transfer);
  transfer_deinit(&transfer);
  atomic_fetch_add(status == 0 ? &server->completed : &server->failed, 1);
  close(fd);
}

static void serve_echo(struct server *server, int fd) {
  uint8_t bytes[4096];
  ssize_t count;
  int status = 0;
  while (status == 0 && (status = transfer_await(fd, POLLIN)) == 0 && (count = recv(fd, bytes, sizeof bytes, 0)) != 0) {
    status = count < 0 ? -errno : traffic_send_all(fd, bytes, (size_t)count);
    atomic_fetch_add(&server->received, count > 0 ? (unsigned long long)count : 0);
    atomic_fetch_add(&server->sent, status == 0 ? (unsigned long long)count : 0);
  }
  atomic_fetch_add(status == 0 ? &server->completed : &server->failed, 1);
  close(fd);
}

static void serve_close(struct server *server, int fd) {
  (void)server;
  close(fd);
}

static void serve_reset(struct server *server, int fd) {
  (void)server;
  traffic_reset(fd);
}

/* Neither reads nor writes, until the client has gone. */
static void serve_silent(struct server *server, int fd) {
  struct pollfd poll_fd = {.fd = fd, .events = POLLRDHUP};
  (void)server;
  while (poll(&poll_fd, 1, -1) < 0 && errno == EINTR)
    ;
  close(fd);
}

static void *serve(void *argument) {
  const struct served served = *(struct served *)argument;
  free(argument);
  served.server->serve(served.server, served.fd);
  atomic_fetch_sub(&served.server->active, 1);
  return NULL;
}

static void accept_one(struct server *server, int listener, const pthread_attr_t *attributes) {
  struct served *served = NULL;
  pthread_t thread;
  const int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0)
    return;
  atomic_fetch_add(&server->connections, 1);
  if (!(served = malloc(sizeof *served)))
    goto fail;
  *served = (struct served){.server = server, .fd = fd};
  atomic_fetch_add(&server->active, 1);
  if (pthread_create(&thread, attributes, serve, served) == 0)
    return;
  atomic_fetch_sub(&server->active, 1);
fail:
  atomic_fetch_add(&server->failed, 1);
  free(served);
  close(fd);
}

static int listen_on(const char *path) {
  struct sockaddr_un local = {.sun_family = AF_UNIX};
  struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof any;
  const int fd = socket(path ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (path)
    strncpy(local.sun_path, path, sizeof local.sun_path - 1);
  if (fd < 0 ||
      bind(fd, path ? (struct sockaddr *)&local : (struct sockaddr *)&any, path ? sizeof local : sizeof any) < 0 ||
      listen(fd, 1024) < 0 || (!path && getsockname(fd, (struct sockaddr *)&any, &size) < 0)) {
    perror("server: listening");
    exit(1);
  }
  printf("{\"port\":%d}\n", path ? 0 : ntohs(any.sin_port));
  fflush(stdout);
  return fd;
}

static void report(struct server *server) {
  printf("{\"connections\":%llu,\"active\":%llu,\"completed\":%llu,\"failed\":%llu,\"sent\":%llu,\"received\":%llu,"
         "\"wrong\":%llu}\n",
         atomic_load(&server->connections), atomic_load(&server->active), atomic_load(&server->completed),
         atomic_load(&server->failed), atomic_load(&server->sent), atomic_load(&server->received),
         atomic_load(&server->wrong));
}

int main(int count, char **words) {
  static const struct {
    const char *name;
    void (*serve)(struct server *server, int fd);
  } behaviours[] = {{"exchange", serve_exchange},
                    {"echo", serve_echo},
                    {"close", serve_close},
                    {"reset", serve_reset},
                    {"silent", serve_silent}};
  struct server server = {.serve = serve_exchange};
  const char *path = NULL;
  for (int i = 1; i < count; i++) {
    if (strcmp(words[i], "--unix") == 0 && i + 1 < count)
      path = words[++i];
    for (size_t j = 0; j < sizeof behaviours / sizeof behaviours[0]; j++)
      if (strcmp(words[i], behaviours[j].name) == 0)
        server.serve = behaviours[j].serve;
  }

  sigset_t blocked, open;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGTERM);
  sigprocmask(SIG_BLOCK, &blocked, &open);
  sigaction(SIGTERM, &(struct sigaction){.sa_handler = on_signal}, NULL);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 128 * 1024);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);

  const int listener = listen_on(path);
  while (!stopping) {
    struct pollfd poll_fd = {.fd = listener, .events = POLLIN};
    if (ppoll(&poll_fd, 1, NULL, &open) > 0)
      accept_one(&server, listener, &attributes);
  }
  report(&server);
  return 0;
}
