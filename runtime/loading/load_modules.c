/* SPDX-License-Identifier: MIT
 *
 * The user's modules, as they are read while files are loaded. */
#include "loading/load_modules.h"

#include "core/text_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct module *module_ref(struct module *module) {
  atomic_fetch_add_explicit(&module->references, 1, memory_order_relaxed);
  return module;
}

void module_unref(struct module *module) {
  if (!module || atomic_fetch_sub_explicit(&module->references, 1, memory_order_acq_rel) != 1)
    return;
  free(module->path);
  free(module->text);
  free(module);
}

static struct module *module_new(const char *path) {
  struct module *module = calloc(1, sizeof *module);
  if (!module || !(module->path = strdup(path))) {
    free(module);
    return NULL;
  }
  atomic_init(&module->references, 1);
  return module;
}

static int module_insert(struct module_list *list, size_t place, struct module *module) {
  if (list->count == list->room) {
    size_t room = list->room ? list->room * 2 : 8;
    struct module **modules = realloc(list->modules, room * sizeof(struct module *));
    if (!modules) {
      module_unref(module);
      return -ENOMEM;
    }
    list->modules = modules;
    list->room = room;
  }
  memmove(&list->modules[place + 1], &list->modules[place], (list->count - place) * sizeof(struct module *));
  list->modules[place] = module;
  list->count++;
  return 0;
}

int module_list_add(struct module_list *list, struct module *module) {
  return module_insert(list, list->count, module);
}

int module_list_add_again(struct module_list *list, struct module *module) {
  return module_list_add(list, module_ref(module));
}

int module_list_add_text(struct module_list *list, const char *path, const char *text, size_t size) {
  struct module *module = module_new(path);
  if (module && text) {
    module->text = malloc(size + 1);
    if (module->text) {
      memcpy(module->text, text, size);
      module->size = size;
    } else {
      module_unref(module);
      module = NULL;
    }
  } else if (module) {
    module->error = -ENOENT;
  }
  return module ? module_list_add(list, module) : -ENOMEM;
}

struct module *module_list_find(const struct module_list *list, const char *path) {
  for (size_t i = 0; i < list->count; i++)
    if (strcmp(list->modules[i]->path, path) == 0)
      return list->modules[i];
  return NULL;
}

void module_list_clear(struct module_list *list) {
  for (size_t i = 0; i < list->count; i++)
    module_unref(list->modules[i]); /* NOLINT(clang-analyzer-unix.Malloc): it has a reference of the list's */
  free(list->modules);
  *list = (struct module_list){0};
}

/* In the cache; NULL: it is not there, and `*place` is where it would be. */
static struct module *find_cached(const struct module_list *cache, const char *path, size_t *place) {
  size_t from = 0, to = cache->count;
  while (from < to) {
    size_t middle = from + (to - from) / 2;
    int order = strcmp(cache->modules[middle]->path, path);
    if (order == 0)
      return cache->modules[middle];
    if (order < 0)
      from = middle + 1;
    else
      to = middle;
  }
  *place = from;
  return NULL;
}

struct module *module_cache_read(struct module_list *cache, const char *path) {
  size_t place = 0;
  struct module *module = find_cached(cache, path, &place);
  if (module)
    return module;
  module = module_new(path);
  if (!module)
    return NULL;
  module->error = text_file_read(path, SCRIPT_MAX_MODULE, &module->text, &module->size, &module->stamp);
  return module_insert(cache, place, module) == 0 ? module : NULL;
}

static bool same_bytes(const struct module *a, const struct module *b) {
  if (a == b)
    return true;
  return a->error == b->error && a->size == b->size && (a->error || memcmp(a->text, b->text, a->size) == 0);
}

/* What is on the disk now where `module` was read from, which is itself when its stamp says so. NULL without memory. */
static const struct module *read_again(struct module *module, const struct file_stamp *stamp,
                                       struct module_list *cache) {
  size_t place = 0;
  find_cached(cache, module->path, &place);
  if (!file_stamp_is_current(stamp, module->path))
    return module_cache_read(cache, module->path);
  return module_insert(cache, place, module_ref(module)) == 0 ? module : NULL;
}

static int module_is_current(struct module *module, struct module_list *cache, struct blocking *blocking) {
  size_t place;
  const struct module *now = find_cached(cache, module->path, &place);
  if (!now) {
    const struct file_stamp stamp = module->stamp; /* who gives the thread up may forget it */
    blocking_begin(blocking);
    now = read_again(module, &stamp, cache);
    if (!blocking_end(blocking))
      return -ECANCELED;
  }
  if (!now || !same_bytes(now, module))
    return 0;
  module->stamp = now->stamp;
  return 1;
}

int module_list_is_current(const struct module_list *list, struct module_list *cache, struct blocking *blocking) {
  struct module_list held = {0}; /* who gives the thread up may drop the list */
  int same = 1;
  for (size_t i = 0; i < list->count && same > 0; i++)
    same = module_list_add_again(&held, list->modules[i]) == 0;
  for (size_t i = 0; i < held.count && same > 0; i++)
    same = module_is_current(held.modules[i], cache, blocking);
  module_list_clear(&held);
  return same;
}

/* Who gives the thread up looks at what has been found. */
static int add_found(const struct module_reader *reader, struct module *module) {
  if (!blocking_end(reader->blocking))
    return -ECANCELED;
  int status = module_list_add_again(reader->found, module);
  blocking_begin(reader->blocking);
  return status;
}

/* The user's code asks, so the thread is away. */
static int on_read(struct script_reader *base, const char *path, const char **text, size_t *size) {
  struct module_reader *reader = (struct module_reader *)(void *)base;
  struct module *module = module_list_find(reader->found, path);
  if (!module) {
    module = reader->given ? module_list_find(reader->given, path) : NULL;
    if (!module)
      module = module_cache_read(reader->cache, path);
    int status = module ? add_found(reader, module) : -ENOMEM;
    if (status < 0)
      return status;
  }
  *text = module->text;
  *size = module->size;
  return module->error;
}

void module_reader_init(struct module_reader *reader, struct module_list *cache, const struct module_list *given,
                        struct module_list *found, struct blocking *blocking) {
  *reader = (struct module_reader){
      .reader.read = on_read, .cache = cache, .given = given, .found = found, .blocking = blocking};
}
