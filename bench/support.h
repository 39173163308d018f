/* SPDX-License-Identifier: MIT
 *
 * What the programs of the benchmarks have in common: giving up with a message, the command line, sockets on
 * loopback, the clock, the processor time of another process, and the pattern that bulk bytes follow. */
#pragma once

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
  DESCRIPTOR_LIMIT = 20000,
  CHUNK_SIZE = 256 * 1024, /* the most that goes in one call */
  PATTERN_PERIOD = 65521,  /* prime, so that no lost or doubled block of a usual size goes unseen */
  BATCH_SIZE = 512,        /* events of one epoll_wait */
};

__attribute__((noreturn, format(printf, 1, 2))) static inline void die(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fputc('\n', stderr);
  exit(1);
}

static inline uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

/* A whole number from the command line, or the end of the program. */
static inline uint64_t number_parse(const char *name, const char *text, uint64_t least, uint64_t most) {
  char *end = NULL;
  errno = 0;
  unsigned long long value = text ? strtoull(text, &end, 10) : 0;
  if (!text || end == text || *end || errno || value < least || value > most)
    die("%s: expected a number from %" PRIu64 " to %" PRIu64 ", got '%s'", name, least, most, text ? text : "nothing");
  return value;
}

static inline void descriptors_raise(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit))
    die("getrlimit: %s", strerror(errno));
  limit.rlim_cur = limit.rlim_max < DESCRIPTOR_LIMIT ? limit.rlim_max : DESCRIPTOR_LIMIT;
  if (setrlimit(RLIMIT_NOFILE, &limit))
    die("setrlimit: %s", strerror(errno));
}

static inline struct sockaddr_in loopback(uint16_t port) {
  return (struct sockaddr_in){
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static inline int listener_open(uint16_t port) {
  struct sockaddr_in address = loopback(port);
  int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) ||
      bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 4096))
    die("listening on 127.0.0.1:%u: %s", port, strerror(errno));
  return fd;
}

static inline void no_delay(int fd) {
  int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

/* A non-blocking socket that is connecting to loopback, or -1 with errno set. */
static inline int connect_start(uint16_t port) {
  struct sockaddr_in address = loopback(port);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return -1;
  no_delay(fd);
  if (!connect(fd, (struct sockaddr *)&address, sizeof address) || errno == EINPROGRESS)
    return fd;
  int code = errno;
  close(fd);
  errno = code;
  return -1;
}

static inline int epoll_open(void) {
  int fd = epoll_create1(EPOLL_CLOEXEC);
  if (fd < 0)
    die("epoll_create1: %s", strerror(errno));
  return fd;
}

static inline int epoll_put(int epoll, int operation, int fd, uint32_t events, void *data) {
  struct epoll_event event = {.events = events, .data.ptr = data};
  return epoll_ctl(epoll, operation, fd, &event);
}

/* What all threads of a process have run so far, in ns; 0 for no process. The scheduler's own account: /proc/PID/stat
 * has the same sum in ticks of 10 ms. */
static inline uint64_t process_run_ns(int pid) {
  char path[64];
  uint64_t sum = 0;
  snprintf(path, sizeof path, "/proc/%d/task", pid);
  DIR *tasks = pid > 0 ? opendir(path) : NULL;
  for (struct dirent *task; tasks && (task = readdir(tasks));) {
    char file[sizeof path + sizeof task->d_name + 16];
    uint64_t run = 0;
    snprintf(file, sizeof file, "%s/%s/schedstat", path, task->d_name);
    FILE *stream = task->d_name[0] == '.' ? NULL : fopen(file, "re");
    if (stream && fscanf(stream, "%" SCNu64, &run) == 1)
      sum += run;
    if (stream)
      fclose(stream);
  }
  if (tasks)
    closedir(tasks);
  return sum;
}

enum { DOMAIN_NAME_SIZE = 48 };

/* The names that routes are chosen by: "shop-7f3a.customer-000123.net", as long as such names are. */
static inline void domain_name_write(char text[DOMAIN_NAME_SIZE], size_t number) {
  snprintf(text, DOMAIN_NAME_SIZE, "shop-%04x.customer-%06zu.net", (unsigned)(number * 40503) & 0xffff, number);
}

/* PATTERN_PERIOD bytes of noise, repeated so that CHUNK_SIZE bytes can be read from any offset below the period. */
static inline uint8_t *pattern_new(void) {
  uint8_t *pattern = malloc(PATTERN_PERIOD + CHUNK_SIZE);
  uint64_t state = 0x9e3779b97f4a7c15U;
  if (!pattern)
    die("no memory for the pattern");
  for (size_t i = 0; i < PATTERN_PERIOD; i++) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    pattern[i] = (uint8_t)(state >> 32);
  }
  for (size_t i = PATTERN_PERIOD; i < PATTERN_PERIOD + CHUNK_SIZE; i++)
    pattern[i] = pattern[i - PATTERN_PERIOD];
  return pattern;
}

/* Whether `size` (at most CHUNK_SIZE) bytes are those of the pattern from `offset` of a body on. */
static inline bool pattern_matches(const uint8_t *pattern, uint64_t offset, const void *bytes, size_t size) {
  return !memcmp(pattern + offset % PATTERN_PERIOD, bytes, size);
}
