/* SPDX-License-Identifier: MIT
 *
 * A small DNS server on loopback (UDP and TCP on one port) in a thread of the test's: what it answers goes by the first
 * label of the name that is asked for. */
#pragma once

#include "../net/support.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <strings.h>
#include <sys/eventfd.h>

enum {
  DNS_A = 1,
  DNS_CNAME = 5,
  DNS_PTR = 12,
  DNS_AAAA = 28,
  DNS_SERVFAIL = 2,
  DNS_NXDOMAIN = 3,
  DNS_MESSAGE_MAX = 2048
};

/* What a name has. Nothing for a type that has a count of 0. */
struct dns_zone {
  const char *label;
  unsigned ipv4, ipv6; /* how many: 127.0.0.1, 127.0.0.2, … (or from `first`) and ::1, ::2, … */
  unsigned first;      /* the last byte of the first IPv4 address; 0: 1 */
  uint32_t ttl;
  uint32_t alias_ttl; /* with an alias in front of them, unless 0 */
  int code;           /* of the answer */
  bool silent, truncated, silent_ipv6, refuses_ipv6;
  bool rotating;       /* each answer begins with another of the IPv4 addresses */
  const char *pointer; /* the name as it goes over the wire, "\4host\4test"; NULL: none */
};

/* Whatever the zones say. */
enum dns_mood { DNS_WELL, DNS_SILENT, DNS_BROKEN };

struct dns_server {
  int udp, tcp, stop;
  uint16_t port;
  const struct dns_zone *_Atomic zones; /* up to one without a label */
  atomic_int mood;                      /* enum dns_mood */
  pthread_t thread;
  atomic_int questions;      /* for A */
  atomic_int ipv6_questions; /* for AAAA */
  atomic_int tcp_questions;
  atomic_int ports; /* how many different ones questions came from; of the first 1024 */
  uint16_t seen[1024];
  char servers[32]; /* for struct resolver_options */
};

static size_t dns_put16(uint8_t *bytes, unsigned value) {
  bytes[0] = (uint8_t)(value >> 8);
  bytes[1] = (uint8_t)value;
  return 2;
}

static size_t dns_put_record(uint8_t *bytes, unsigned name, unsigned type, uint32_t ttl, const uint8_t *data,
                             size_t size) {
  size_t at = dns_put16(bytes, 0xc000 | name);
  at += dns_put16(bytes + at, type);
  at += dns_put16(bytes + at, 1);
  at += dns_put16(bytes + at, ttl >> 16);
  at += dns_put16(bytes + at, ttl & 0xffff);
  at += dns_put16(bytes + at, (unsigned)size);
  memcpy(bytes + at, data, size);
  return at + size;
}

static const struct dns_zone *dns_zone_of(const struct dns_server *server, const uint8_t *label) {
  for (const struct dns_zone *zone = atomic_load(&server->zones); zone->label; zone++) {
    if (strlen(zone->label) == label[0] && strncasecmp(zone->label, (const char *)label + 1, label[0]) == 0)
      return zone;
  }
  return NULL;
}

static size_t dns_put_addresses(uint8_t *bytes, const struct dns_zone *zone, unsigned turn, unsigned type,
                                unsigned name, unsigned *count) {
  size_t at = 0;
  *count = type == DNS_A ? zone->ipv4 : type == DNS_AAAA ? zone->ipv6 : 0;
  if (type == DNS_PTR && zone->pointer) {
    *count = 1;
    return dns_put_record(bytes, name, type, zone->ttl, (const uint8_t *)zone->pointer, strlen(zone->pointer) + 1);
  }
  for (unsigned i = 0; i < *count; i++) {
    unsigned turned = zone->rotating ? (i + turn) % *count : i;
    uint8_t ipv4[4] = {127, 0, 0, (uint8_t)((zone->first ? zone->first : 1) + turned)};
    uint8_t ipv6[16] = {[15] = (uint8_t)(1 + i)};
    at += type == DNS_A ? dns_put_record(bytes + at, name, type, zone->ttl, ipv4, sizeof ipv4)
                        : dns_put_record(bytes + at, name, type, zone->ttl, ipv6, sizeof ipv6);
  }
  return at;
}

/* Turns the question in `message` into the answer. Its size, or 0 when there is to be none. */
static size_t dns_answer(struct dns_server *server, uint8_t message[DNS_MESSAGE_MAX], size_t size, bool over_tcp) {
  size_t end = 12;
  while (end < size && message[end] != 0)
    end += message[end] + 1u;
  if (end + 5 > size)
    return 0;
  unsigned type = (unsigned)message[end + 1] << 8 | message[end + 2];
  end += 5;
  const struct dns_zone *zone = dns_zone_of(server, message + 12);
  if (type == DNS_A)
    atomic_fetch_add(over_tcp ? &server->tcp_questions : &server->questions, 1);
  else if (type == DNS_AAAA && !over_tcp)
    atomic_fetch_add(&server->ipv6_questions, 1);
  if (atomic_load(&server->mood) == DNS_SILENT || (zone && (zone->silent || (zone->silent_ipv6 && type == DNS_AAAA))))
    return 0;
  bool truncated = zone && zone->truncated && !over_tcp;
  int code = zone ? zone->code : DNS_NXDOMAIN;
  if (atomic_load(&server->mood) == DNS_BROKEN || (zone && zone->refuses_ipv6 && type == DNS_AAAA))
    code = DNS_SERVFAIL;
  unsigned answers = 0, aliases = 0;
  size_t at = end;
  if (zone && code == 0 && !truncated) {
    unsigned name = 12;
    if (zone->alias_ttl) {
      static const uint8_t alias[] = {6, 'h', 'i', 'd', 'd', 'e', 'n', 0};
      at += dns_put_record(message + at, name, DNS_CNAME, zone->alias_ttl, alias, sizeof alias);
      name = (unsigned)(at - sizeof alias);
      aliases = 1;
    }
    at += dns_put_addresses(message + at, zone, (unsigned)atomic_load(&server->questions), type, name, &answers);
  }
  dns_put16(message + 2, 0x8180u | (truncated ? 0x0200u : 0) | (unsigned)code);
  dns_put16(message + 6, answers + aliases);
  dns_put16(message + 8, 0);
  dns_put16(message + 10, 0);
  return at;
}

/* One question of a connection, which may ask more. False: it has ended. */
static bool dns_serve_tcp(struct dns_server *server, int fd) {
  uint8_t message[2 + DNS_MESSAGE_MAX];
  if (recv(fd, message, 2, MSG_WAITALL) != 2)
    return false;
  size_t size = (size_t)message[0] << 8 | message[1];
  if (size > DNS_MESSAGE_MAX || recv(fd, message + 2, size, MSG_WAITALL) != (ssize_t)size)
    return false;
  size = dns_answer(server, message + 2, size, true);
  dns_put16(message, (unsigned)size);
  return send(fd, message, size + 2, MSG_NOSIGNAL) >= 0;
}

static void dns_note_port(struct dns_server *server, uint16_t port) {
  int count = atomic_load(&server->ports);
  for (int i = 0; i < count; i++) {
    if (server->seen[i] == port)
      return;
  }
  if (count == (int)(sizeof server->seen / sizeof server->seen[0]))
    return;
  server->seen[count] = port;
  atomic_store(&server->ports, count + 1);
}

static void dns_serve_udp(struct dns_server *server) {
  uint8_t message[DNS_MESSAGE_MAX];
  struct sockaddr_storage peer;
  socklen_t length = sizeof peer;
  ssize_t got = recvfrom(server->udp, message, 512, 0, (struct sockaddr *)&peer, &length);
  dns_note_port(server, ntohs(((const struct sockaddr_in *)(const void *)&peer)->sin_port));
  size_t size = got > 12 ? dns_answer(server, message, (size_t)got, false) : 0;
  if (size > 0)
    sendto(server->udp, message, size, 0, (struct sockaddr *)&peer, length);
}

static void *dns_serve(void *argument) {
  struct dns_server *server = argument;
  enum { STOP, UDP, TCP, CONNECTIONS, COUNT = CONNECTIONS + 8 };
  struct pollfd fds[COUNT] = {{.fd = server->stop}, {.fd = server->udp}, {.fd = server->tcp}};
  for (int i = 0; i < COUNT; i++) {
    fds[i].fd = i < CONNECTIONS ? fds[i].fd : -1;
    fds[i].events = POLLIN;
  }
  while (poll(fds, COUNT, -1) < 0 || !fds[STOP].revents) {
    if (fds[UDP].revents)
      dns_serve_udp(server);
    for (int i = CONNECTIONS; i < COUNT; i++) {
      if (fds[i].fd >= 0 && fds[i].revents && !dns_serve_tcp(server, fds[i].fd)) {
        close(fds[i].fd);
        fds[i].fd = -1;
      } else if (fds[i].fd < 0 && fds[TCP].revents) {
        fds[i].fd = accept(server->tcp, NULL, NULL);
        fds[TCP].revents = 0;
      }
      fds[i].revents = 0;
    }
  }
  for (int i = CONNECTIONS; i < COUNT; i++) {
    if (fds[i].fd >= 0)
      close(fds[i].fd);
  }
  return NULL;
}

static inline void dns_server_start(struct dns_server *server, const struct dns_zone *zones) {
  memset(server, 0, sizeof *server);
  atomic_init(&server->zones, zones);
  for (int tries = 0;; tries++) {
    assert_true(tries < 100);
    server->port = 0;
    server->tcp = listen_on_loopback(16, &server->port);
    server->udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in in = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(server->port)};
    if (bind(server->udp, (struct sockaddr *)&in, sizeof in) == 0)
      break;
    close(server->tcp);
    close(server->udp);
  }
  snprintf(server->servers, sizeof server->servers, "127.0.0.1:%u", server->port);
  server->stop = eventfd(0, EFD_CLOEXEC);
  assert_true(server->stop >= 0);
  assert_int_equal(pthread_create(&server->thread, NULL, dns_serve, server), 0);
}

static inline void dns_server_stop(struct dns_server *server) {
  uint64_t one = 1;
  assert_int_equal(write(server->stop, &one, sizeof one), sizeof one);
  pthread_join(server->thread, NULL);
  close(server->stop);
  close(server->udp);
  close(server->tcp);
}
