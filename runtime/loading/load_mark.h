/* SPDX-License-Identifier: MIT
 *
 * A mark on what is being run while files are loaded: should it end the process, the next one finds it, and does not
 * run that text again. It is one record in a file that stays open, written over for each text, and never flushed: what
 * it has to outlive is the process, not the machine. */
#pragma once

#include "core/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct load_mark;

/* What it says. */
struct load_mark_text {
  const char *file; /* base name */
  const char *path; /* as people name it */
  size_t size;
  uint64_t hash;
};

/* `state`/loading: what an earlier process was ended in is read, and kept for later ones. NULL and `error`, or one that
 * marks nothing, and `error` with its code, when the file can't be written. */
struct load_mark *load_mark_open(const char *state, struct error *error);

/* In a file of the caller's, which stays its own, from its beginning; nothing is read. NULL without memory. */
struct load_mark *load_mark_open_at(int fd);

/* Does it mark anything? */
bool load_mark_is_kept(const struct load_mark *mark);

/* A reference more, and one less; a new mark has one. Any thread. */
struct load_mark *load_mark_ref(struct load_mark *mark);
void load_mark_unref(struct load_mark *mark); /* NULL is nothing */

/* What is being run from now on; NULL: nothing. `mark` may be NULL. */
void load_mark_set(struct load_mark *mark, const struct load_mark_text *text);

/* Who writes it does not come back: nothing is marked any more, and nobody waits for him, who has a reference of
 * his own. Any thread. */
void load_mark_abandon(struct load_mark *mark);

/* The process ends for another reason: nothing is being run, and nothing will be. Any thread. */
void load_mark_withdraw(struct load_mark *mark);

/* Has it ended an earlier process? */
bool load_mark_has_ended(const struct load_mark *mark, const struct load_mark_text *text);

/* The path in the record at the beginning of `fd`: true, or there is none. */
bool load_mark_read(int fd, char *path, size_t size);
