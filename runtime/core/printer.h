/* SPDX-License-Identifier: MIT
 *
 * Standard output and standard error, for text that nobody has to wait for: what a pipe, a socket or a terminal does
 * not take is lost, and counted. Any thread. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  PRINTER_TERMINAL_MS =
      100, /* a terminal that is written to faster than it shows is waited for, but so long at most … */
  PRINTER_WINDOW_MS = 1000 /* … in so long, by all threads together */
};

struct printer {
  int fd; /* the one given, or, of a pipe or a terminal, a description of our own that does not block */
  bool is_socket;
  bool is_shared;                      /* none could be opened: what the given one takes at once is asked each time */
  uint64_t patience_ns;                /* that may be waited in a window */
  _Atomic uint64_t window_ns, used_ns; /* when the window began, and what is used up of its patience */
  _Atomic uint64_t lost;               /* texts, whole or in part */
  _Atomic uint64_t reported_ns;        /* when somebody was told last; 0: never */
};

/* `fd` stays the caller's. `patience_ms`: how long a reader that is slow may be waited for in a second; of a terminal
 * PRINTER_TERMINAL_MS at least. Regular files are waited for. */
void printer_init(struct printer *printer, int fd, unsigned patience_ms);
void printer_deinit(struct printer *printer, int fd);

/* False: it was lost, from some byte on. */
bool printer_write(struct printer *printer, const char *bytes, size_t size);

/* Whether it is time to say that texts are lost: once in so many milliseconds. */
bool printer_report_is_due(struct printer *printer, unsigned every_ms);
