/* SPDX-License-Identifier: MIT
 *
 * The clients that specs send through moongate: many connections, a few at a time, of kinds that take turns.
 *
 *   client --port N [--connections N] [--parallel N] [--kinds KIND,…] [--up SIZE,…] [--down SIZE,…] [--pace BYTES]
 *          [--server-pace BYTES]
 *
 *   exchange  sends `up` and takes `down`, both checked, then the server's verdict, then its end
 *   half      the same, but ends its side after `up`; the verdict has to come all the same
 *   echo      sends `up`, ends its side, and takes the same back (no protocol)
 *   leave     closes at once
 *   reset     sends some bytes, then resets
 *   abandon   closes with the better part of the answer unread
 *
 * Sizes may end in k, m, g. Prints one line of JSON; exit status 1 when an exchange, half or echo did not go as it
 * should. */
#include "traffic.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

enum { LIST_MAX = 32 };

struct size_list {
  uint64_t sizes[LIST_MAX];
  unsigned count;
};

struct client;
struct kind {
  const char *name;
  bool checked; /* has to go well */
  int (*run)(struct client *client, int fd, unsigned long long number);
};

struct client {
  struct sockaddr_in target;
  const struct kind *kinds[LIST_MAX];
  unsigned kind_count;
  struct size_list up, down;
  uint32_t pace, server_pace;
  unsigned long long connections;
  unsigned parallel;
  atomic_ullong next, completed, failed, sent, received, wrong;
};

/* Each kind goes through the whole list. */
static uint64_t size_at(const struct client *client, const struct size_list *list, unsigned long long number) {
  return list->count > 0 ? list->sizes[number / client->kind_count % list->count] : 0;
}

static int exchange(struct client *client, int fd, unsigned long long number, bool half) {
  struct traffic_request request = {.magic = TRAFFIC_MAGIC,
                                    .seed = number * 2,
                                    .up = size_at(client, &client->up, number),
                                    .down = size_at(client, &client->down, number),
                                    .half_ends = half,
                                    .pace = client->server_pace};
  struct traffic_verdict verdict;
  struct transfer transfer;
  int status = transfer_init(&transfer, fd);
  if (status == 0 && (status = traffic_send_all(fd, &request, sizeof request)) == 0) {
    transfer.seed_out = request.seed;
    transfer.seed_in = request.seed + 1;
    transfer.to_send = request.up;
    transfer.to_receive = request.down;
    transfer.pace = client->pace;
    transfer.end = half;
    status = transfer_run(&transfer);
    atomic_fetch_add(&client->sent, sizeof request + transfer.sent);
    atomic_fetch_add(&client->received, transfer.received);
    atomic_fetch_add(&client->wrong, transfer.wrong);
  }
  transfer_deinit(&transfer);
  if (status < 0)
    return status;
  const ssize_t size = traffic_receive_all(fd, &verdict, sizeof verdict);
  atomic_fetch_add(&client->received, size > 0 ? (unsigned long long)size : 0);
  if (size != sizeof verdict)
    return size < 0 ? (int)size : -EPIPE;
  atomic_fetch_add(&client->wrong, verdict.wrong);
  return verdict.received != request.up || verdict.wrong || transfer.wrong ? -EBADMSG : traffic_expect_end(fd);
}

static int run_exchange(struct client *client, int fd, unsigned long long number) {
  return exchange(client, fd, number, false);
}

static int run_half(struct client *client, int fd, unsigned long long number) {
  return exchange(client, fd, number, true);
}

static int run_echo(struct client *client, int fd, unsigned long long number) {
  struct transfer transfer;
  int status = transfer_init(&transfer, fd);
  if (status == 0) {
    transfer.seed_out = transfer.seed_in = number;
    transfer.to_send = transfer.to_receive = size_at(client, &client->up, number);
    transfer.pace = client->pace;
    transfer.end = true;
    status = transfer_run(&transfer);
    atomic_fetch_add(&client->sent, transfer.sent);
    atomic_fetch_add(&client->received, transfer.received);
    atomic_fetch_add(&client->wrong, transfer.wrong);
  }
  transfer_deinit(&transfer);
  return status < 0 ? status : transfer.wrong ? -EBADMSG : traffic_expect_end(fd);
}

static int run_leave(struct client *client, int fd, unsigned long long number) {
  (void)client, (void)fd, (void)number;
  return 0;
}

static int run_reset(struct client *client, int fd, unsigned long long number) {
  const struct traffic_request request = {.magic = TRAFFIC_MAGIC, .seed = number, .up = UINT32_MAX, .down = UINT32_MAX};
  uint8_t bytes[20000] = {0};
  (void)client;
  traffic_send_all(fd, &request, sizeof request);
  const ssize_t count = send(fd, bytes, sizeof bytes, MSG_NOSIGNAL);
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1}, sizeof(struct linger));
  return count < 0 ? -errno : 0;
}

static int run_abandon(struct client *client, int fd, unsigned long long number) {
  const struct traffic_request request = {.magic = TRAFFIC_MAGIC, .seed = number, .up = 0, .down = (uint64_t)4 << 20};
  uint8_t bytes[5000];
  (void)client;
  const int status = traffic_send_all(fd, &request, sizeof request);
  return status < 0 ? status : (int)traffic_receive_all(fd, bytes, sizeof bytes);
}

static const struct kind kinds[] = {{"exchange", true, run_exchange}, {"half", true, run_half},
                                    {"echo", true, run_echo},         {"leave", false, run_leave},
                                    {"reset", false, run_reset},      {"abandon", false, run_abandon}};

static int connect_to(const struct sockaddr_in *target) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return -errno;
  if (connect(fd, (const struct sockaddr *)target, sizeof *target) < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0) {
    const int status = -errno;
    close(fd);
    return status;
  }
  return fd;
}

static void *work(void *argument) {
  struct client *client = argument;
  for (unsigned long long number; (number = atomic_fetch_add(&client->next, 1)) < client->connections;) {
    const struct kind *kind = client->kinds[number % client->kind_count];
    const int fd = connect_to(&client->target);
    const int status = fd < 0 ? fd : kind->run(client, fd, number);
    if (fd >= 0)
      close(fd);
    if (status >= 0 || !kind->checked) {
      atomic_fetch_add(&client->completed, 1);
    } else if (atomic_fetch_add(&client->failed, 1) < 10) {
      fprintf(stderr, "connection %llu (%s, %llu up, %llu down): %s\n", number, kind->name,
              (unsigned long long)size_at(client, &client->up, number),
              (unsigned long long)size_at(client, &client->down, number), strerror(-status));
    }
  }
  return NULL;
}

static uint64_t size_parse(const char *text, char **end) {
  const uint64_t number = strtoull(text, end, 10);
  const unsigned shift = **end == 'k' ? 10 : **end == 'm' ? 20 : **end == 'g' ? 30 : 0;
  *end += shift > 0;
  return number << shift;
}

static struct size_list size_list_parse(const char *text) {
  struct size_list list = {.count = 0};
  for (char *end; *text && list.count < LIST_MAX; text = *end == ',' ? end + 1 : end) {
    list.sizes[list.count++] = size_parse(text, &end);
    if (end == text || (*end && *end != ',')) {
      fprintf(stderr, "client: not a list of sizes: %s\n", text);
      exit(2);
    }
  }
  return list;
}

static void kinds_parse(struct client *client, char *text) {
  client->kind_count = 0;
  for (char *rest, *name = strtok_r(text, ",", &rest); name && client->kind_count < LIST_MAX;
       name = strtok_r(NULL, ",", &rest)) {
    const unsigned before = client->kind_count;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
      if (strcmp(name, kinds[i].name) == 0)
        client->kinds[client->kind_count++] = &kinds[i];
    if (client->kind_count == before) {
      fprintf(stderr, "client: no such kind: %s\n", name);
      exit(2);
    }
  }
}

static void option_set(struct client *client, const char *name, char *value) {
  char *end;
  if (strcmp(name, "--port") == 0)
    client->target.sin_port = htons((uint16_t)strtoul(value, NULL, 10));
  else if (strcmp(name, "--connections") == 0)
    client->connections = size_parse(value, &end);
  else if (strcmp(name, "--parallel") == 0)
    client->parallel = (unsigned)size_parse(value, &end);
  else if (strcmp(name, "--kinds") == 0)
    kinds_parse(client, value);
  else if (strcmp(name, "--up") == 0)
    client->up = size_list_parse(value);
  else if (strcmp(name, "--down") == 0)
    client->down = size_list_parse(value);
  else if (strcmp(name, "--pace") == 0)
    client->pace = (uint32_t)size_parse(value, &end);
  else if (strcmp(name, "--server-pace") == 0)
    client->server_pace = (uint32_t)size_parse(value, &end);
  else {
    fprintf(stderr, "client: no such option: %s\n", name);
    exit(2);
  }
}

int main(int count, char **words) {
  struct client client = {.target = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)},
                          .kinds = {&kinds[0]},
                          .kind_count = 1,
                          .connections = 1,
                          .parallel = 1};
  for (int i = 1; i + 1 < count; i += 2)
    option_set(&client, words[i], words[i + 1]);
  pthread_t *threads = calloc(client.parallel, sizeof *threads);
  unsigned started = 0;
  while (threads && started < client.parallel && pthread_create(&threads[started], NULL, work, &client) == 0)
    started++;
  for (unsigned i = 0; i < started; i++)
    pthread_join(threads[i], NULL);
  free(threads);
  printf("{\"connections\":%llu,\"completed\":%llu,\"failed\":%llu,\"sent\":%llu,\"received\":%llu,\"wrong\":%llu}\n",
         client.connections, atomic_load(&client.completed), atomic_load(&client.failed), atomic_load(&client.sent),
         atomic_load(&client.received), atomic_load(&client.wrong));
  return started < client.parallel || atomic_load(&client.completed) < client.connections;
}
