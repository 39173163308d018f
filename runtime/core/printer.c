/* SPDX-License-Identifier: MIT
 *
 * Writing without blocking. Descriptions of pipes and terminals are shared with other programs, which would be
 * surprised by O_NONBLOCK, so one of our own is opened. */
#include "core/printer.h"

#include "core/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const uint64_t NS_PER_MS = 1000 * 1000, NS_PER_S = 1000 * 1000 * 1000;

static int open_description(int fd) {
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  int own = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
  return own >= 0 ? own : fd;
}

void printer_init(struct printer *printer, int fd, unsigned patience_ms) {
  int saved_errno = errno;
  struct stat status = {.st_mode = 0};
  bool is_terminal = isatty(fd);
  fstat(fd, &status);
  *printer = (struct printer){.fd = fd, .is_socket = S_ISSOCK(status.st_mode)};
  printer->patience_ns = patience_ms * NS_PER_MS;
  if (is_terminal && patience_ms < PRINTER_TERMINAL_MS)
    printer->patience_ns = PRINTER_TERMINAL_MS * NS_PER_MS;
  if (is_terminal || S_ISFIFO(status.st_mode)) {
    printer->fd = open_description(fd);
    printer->is_shared = printer->fd == fd;
  }
  errno = saved_errno;
}

void printer_deinit(struct printer *printer, int fd) {
  if (printer->fd != fd)
    close(printer->fd);
  printer->fd = fd;
}

/* Waits for whoever reads, as far as there is patience left. Threads that do so at once may use up a little more. */
static bool await_room(struct printer *printer) {
  if (printer->patience_ns == 0)
    return false;
  uint64_t began = clock_real_ns();
  if (began - atomic_load_explicit(&printer->window_ns, memory_order_relaxed) >= PRINTER_WINDOW_MS * NS_PER_MS) {
    atomic_store_explicit(&printer->window_ns, began, memory_order_relaxed);
    atomic_store_explicit(&printer->used_ns, 0, memory_order_relaxed);
  }
  uint64_t used = atomic_load_explicit(&printer->used_ns, memory_order_relaxed);
  if (used >= printer->patience_ns)
    return false;
  uint64_t left = printer->patience_ns - used;
  struct timespec timeout = {.tv_sec = (time_t)(left / NS_PER_S), .tv_nsec = (long)(left % NS_PER_S)};
  struct pollfd wanted = {.fd = printer->fd, .events = POLLOUT};
  int ready = ppoll(&wanted, 1, &timeout, NULL);
  atomic_fetch_add_explicit(&printer->used_ns, clock_real_ns() - began, memory_order_relaxed);
  return ready > 0;
}

/* The pipe of another user, as a container may have it, or there is no /proc. Who is ready takes a page: what others
 * write in between can't be helped. */
static ssize_t write_shared(const struct printer *printer, const char *bytes, size_t size) {
  struct pollfd wanted = {.fd = printer->fd, .events = POLLOUT};
  if (poll(&wanted, 1, 0) == 0) {
    errno = EAGAIN;
    return -1;
  }
  return write(printer->fd, bytes, size < PIPE_BUF ? size : PIPE_BUF);
}

static ssize_t write_some(const struct printer *printer, const char *bytes, size_t size) {
  if (printer->is_shared)
    return write_shared(printer, bytes, size);
  if (printer->is_socket)
    return send(printer->fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
  return write(printer->fd, bytes, size);
}

bool printer_write(struct printer *printer, const char *bytes, size_t size) {
  while (size > 0) {
    ssize_t written = write_some(printer, bytes, size);
    if (written > 0) {
      bytes += written;
      size -= (size_t)written;
      continue;
    }
    int code = written == 0 ? EIO : errno; /* waiting changes it */
    if (code != EINTR && (code != EAGAIN || !await_room(printer))) {
      atomic_fetch_add_explicit(&printer->lost, 1, memory_order_relaxed);
      errno = code;
      return false;
    }
  }
  return true;
}

bool printer_report_is_due(struct printer *printer, unsigned every_ms) {
  uint64_t now = clock_real_ns(), last = atomic_load_explicit(&printer->reported_ns, memory_order_relaxed);
  if (last != 0 && now - last < every_ms * NS_PER_MS)
    return false;
  return atomic_compare_exchange_strong_explicit(&printer->reported_ns, &last, now, memory_order_relaxed,
                                                 memory_order_relaxed);
}
