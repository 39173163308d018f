/* SPDX-License-Identifier: MIT
 *
 * The user's modules, as they are read while files are loaded: each at most once in a load, so that all files and all
 * workers' states see the same bytes; and for each file the list of those that it asked for, so that it is known when
 * one has changed. A module that was looked for and is not there counts as one. */
#pragma once

#include "core/blocking.h"
#include "core/file_stamp.h"
#include "script/state.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* Immutable, but for its stamp. */
struct module {
  atomic_uint references;
  char *path;
  char *text; /* NULL when it could not be read */
  size_t size;
  int error;               /* 0, or the negative errno of reading it */
  struct file_stamp stamp; /* the loader's */
};

struct module_list {
  struct module **modules; /* a reference each */
  size_t count, room;
};

void module_unref(struct module *module);

/* Takes over the reference, also when it fails. 0 or -ENOMEM. */
int module_list_add(struct module_list *list, struct module *module);

/* Another reference on a module of another list. 0 or -ENOMEM. */
int module_list_add_again(struct module_list *list, struct module *module);

/* With bytes of the caller's, copied; `text` NULL: it is not there. 0 or -ENOMEM. */
int module_list_add_text(struct module_list *list, const char *path, const char *text, size_t size);
struct module *module_list_find(const struct module_list *list, const char *path); /* borrowed; NULL */
void module_list_clear(struct module_list *list);

/* Reads `path`, or finds it in `cache`, the modules of this load, in order of their paths. Borrowed. NULL without
 * memory. */
struct module *module_cache_read(struct module_list *cache, const char *path);

/* Are all of them as they are on the disk? Those that say so by their stamps are not read, but entered into `cache`.
 * The disk may not answer: the thread is away meanwhile. 1, 0, or -ECANCELED: it was given up, and `list` may be gone.
 */
int module_list_is_current(const struct module_list *list, struct module_list *cache, struct blocking *blocking);

/* What `require` of a state reads with while a file is loaded. */
struct module_reader {
  struct script_reader reader;
  struct module_list *cache;
  const struct module_list *given; /* these take the place of what is on the disk; NULL: none */
  struct blocking *blocking;       /* of the thread, which is away while it reads */
  struct module_list *found;       /* what was asked for; added to */
};

void module_reader_init(struct module_reader *reader, struct module_list *cache, const struct module_list *given,
                        struct module_list *found, struct blocking *blocking);
