/* SPDX-License-Identifier: MIT
 *
 * Forgetting names of routes that are gone for good: each worker adds what it has counted for them to the sum of all
 * such names, and says so; only then are their numbers other names'. In no answer is anything missing, or told twice.
 * Lives on the control thread. */
#pragma once

#include "core/wheel.h"
#include "threads/names.h"
#include "threads/snapshot.h"
#include "threads/threads.h"

enum { FOLDING_MOST = 1024 /* names at once: a worker is through with them in a part of a millisecond */ };

struct folding_order;

struct folding {
  struct loop *loop;        /* the control thread's */
  struct wheel_timer timer; /* for the next name that has been gone for long enough */
  struct names *names;
  struct snapshots *snapshots;
  struct threads *threads;
  struct folding_order *orders; /* one a worker */
  size_t missing;               /* workers that have not answered; 0: nothing is under way */
  size_t left;                  /* removed names that have not been looked at */
  size_t count;
  unsigned numbers[FOLDING_MOST];
};

/* 0 or -ENOMEM. All outlive it. */
int folding_init(struct folding *folding, struct names *names, struct snapshots *snapshots, struct threads *threads);

/* After the threads have ended and the loop's messages are delivered. Nothing when zeroed. */
void folding_deinit(struct folding *folding);

/* Begins, if there is something to forget and nothing is under way, and comes by itself for what is gone now. The
 * workers run. */
void folding_begin(struct folding *folding);
