/* SPDX-License-Identifier: MIT
 *
 * Changing the table of all workers, and of the plane where it has to do with it, or of none: the plane prepares it,
 * then each worker in turn, then the plane commits, then all workers, and the plane retires what has gone
 * (engines/plane.h). Lives on the control thread. */
#pragma once

#include "core/error.h"
#include "engines/plane.h"
#include "routing/table.h"
#include "threads/threads.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct swap;
struct swap_order;

/* 0: the table is live. Else a negative errno and swap->error, and nothing has changed. */
typedef void swap_done_fn(struct swap *swap, int status);

struct swap {
  struct threads *threads;
  struct plane *plane;       /* NULL: there is none */
  struct swap_order *orders; /* one a worker */
  struct route_table *table; /* one reference, while under way */
  struct port_change *ports; /* the user's; see worker_prepare_table() */
  size_t missing;            /* workers that have not answered */
  size_t prepared, taken;    /* workers */
  int status;
  bool with_plane;
  size_t old_connections; /* connections that go on with records of older tables, when it was live */
  struct error error;
  swap_done_fn *on_done;
};

/* 0 or -ENOMEM. `threads` and `plane` (NULL: there is none) outlive the swap. */
int swap_init(struct swap *swap, struct threads *threads, struct plane *plane);

/* After the threads have ended. Nothing when zeroed. */
void swap_deinit(struct swap *swap);

static inline bool swap_is_under_way(const struct swap *swap) { return swap->table != NULL; }

/* The number of a worker that has not answered yet; 0: there is none. */
unsigned swap_awaited_worker(const struct swap *swap);

/* The name of the engine that has not answered yet; NULL: it has. */
const char *swap_awaited_engine(const struct swap *swap);

/* In its callback: why the plane would not have the table, by route; NULL: that is not why it was given up. */
const struct plane_faults *swap_refusals(const struct swap *swap);

/* One at a time. `ports`, which are open, stay valid until `on_done`, which is called in a later event; never, when the
 * workers end meanwhile. */
void swap_begin(struct swap *swap, struct route_table *table, struct port_change *ports, swap_done_fn *on_done);
