/* SPDX-License-Identifier: MIT
 *
 * The registry: an array by number, and a hash table beside it. */
#include "threads/names.h"

#include "connection/limits.h"
#include "core/text.h"
#include "routing/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_NUMBERS = 64 };

struct name {
  struct list_node node;       /* in names->live, ->gone or ->removed; in none while it is being folded */
  struct hash_node hashed;     /* in names->by_text, but for the removed ones */
  unsigned number;             /* 0, but for "(none)": it is one too many, and has none */
  struct route_shared *shared; /* one reference */
  clock_ms gone_at;
  bool was_live; /* in a table */
  bool gone, removed;
  bool retained;  /* while names_retain() looks */
  unsigned round; /* of names->round, when it came */
  char text[];
};

static void name_free(struct name *name) {
  if (name)
    route_shared_unref(name->shared);
  free(name);
}

static struct name *names_at(struct list_node *node) { return LIST_OWNER(node, struct name, node); }

static struct name *names_find(const struct names *names, uint64_t hash, const char *text) {
  for (struct hash_node *node = hash_table_first(&names->by_text, hash); node; node = hash_table_next(node)) {
    struct name *name = HASH_OWNER(node, struct name, hashed);
    if (strcmp(name->text, text) == 0)
      return name;
  }
  return NULL;
}

static struct name *find_text(const struct names *names, const char *text) {
  return names_find(names, text_hash(text, strlen(text), 0), text);
}

/* Room for one more number that has never been given out, also among those that are nobody's. */
static bool grow_numbers(struct names *names) {
  if (names->count < names->room)
    return true;
  size_t room = names->room ? 2 * names->room : FIRST_NUMBERS;
  struct name **by_number = realloc(names->by_number, room * sizeof(struct name *));
  if (by_number)
    names->by_number = by_number;
  unsigned *ring = by_number ? malloc(room * sizeof *ring) : NULL;
  if (!ring)
    return false;
  for (size_t i = 0; i < names->free_count; i++)
    ring[i] = names->free[(names->free_at + i) % names->room];
  free(names->free);
  names->free = ring;
  names->free_at = 0;
  names->room = room;
  return true;
}

/* 0: there is none left. The first of all is "(none)". */
static unsigned take_number(struct names *names, struct name *name) {
  unsigned number = 0;
  if (names->free_count > 0) {
    number = names->free[names->free_at];
    names->free_at = (names->free_at + 1) % names->room;
    names->free_count--;
  } else if (names->count < NAMES_MAX && grow_numbers(names)) {
    number = (unsigned)names->count++;
  } else {
    return 0;
  }
  names->by_number[number] = name;
  return number;
}

static struct name *names_add(struct names *names, const char *text, uint64_t hash) {
  size_t size = strlen(text) + 1;
  struct name *name = calloc(1, sizeof *name + size);
  if (!name || !(name->shared = route_shared_new(names->last_scope)) ||
      hash_table_enter(&names->by_text, &name->hashed, hash) < 0) {
    name_free(name);
    return NULL;
  }
  names->last_scope++;
  memcpy(name->text, text, size);
  name->number = take_number(names, name);
  name->round = names->round;
  list_add_tail(&names->live, &name->node);
  return name;
}

int names_init(struct names *names) {
  static const char none[] = "(none)";
  *names = (struct names){.last_scope = LIMIT_SCOPE_ROUTES};
  list_init(&names->live);
  list_init(&names->removed);
  list_init(&names->gone);
  if (names_add(names, none, text_hash(none, sizeof none - 1, 0)) && names->count == 1)
    return 0;
  names_deinit(names);
  return -ENOMEM;
}

void names_deinit(struct names *names) {
  if (!names->live.next)
    return;
  LIST_FOREACH(node, &names->live) {
    if (names_at(node)->number == 0 && names_at(node) != names->by_number[0])
      name_free(names_at(node));
  }
  LIST_FOREACH(node, &names->removed) {
    if (names_at(node)->number == 0)
      name_free(names_at(node));
  }
  for (size_t i = 0; i < names->count; i++)
    name_free(names->by_number[i]);
  free(names->by_number);
  free(names->free);
  hash_table_deinit(&names->by_text);
  *names = (struct names){.count = 0};
}

unsigned names_number(struct names *names, const char *text, struct route_shared **shared) {
  uint64_t hash = text_hash(text, strlen(text), 0);
  struct name *name = names_find(names, hash, text);
  if (!name)
    name = names_add(names, text, hash);
  if (!name)
    name = names->by_number[0];
  if (shared)
    *shared = route_shared_ref(name->shared);
  return name->number;
}

void names_renew(struct names *names, struct route *route) {
  const struct name *name = find_text(names, route->name);
  if (name && name->shared == route->shared)
    return;
  struct route_shared *before = route->shared;
  route->stats = names_number(names, route->name, &route->shared);
  route_shared_unref(before);
}

bool names_is_removed(const struct names *names, unsigned number) {
  return !names->by_number[number] || names->by_number[number]->removed;
}

const char *names_text(const struct names *names, unsigned number) {
  return names_is_removed(names, number) ? "(removed)" : names->by_number[number]->text;
}

static void remove_name(struct names *names, struct name *name) {
  names->gone_count -= name->gone;
  name->gone = false;
  hash_table_remove(&names->by_text, &name->hashed);
  name->removed = true;
  list_remove(&name->node);
  list_add_tail(&names->removed, &name->node);
  names->removed_count++;
}

static void name_go(struct names *names, struct name *name, clock_ms now) {
  name->gone = true;
  name->gone_at = now;
  list_remove(&name->node);
  list_add_tail(&names->gone, &name->node);
  names->gone_count++;
}

static void name_return(struct names *names, struct name *name) {
  name->gone = false;
  name->round = names->round;
  list_remove(&name->node);
  list_add_tail(&names->live, &name->node);
  names->gone_count--;
}

/* Routes of a table that are not those of another. */
struct span {
  struct route *const *routes;
  size_t count;
};

/* What is between the routes that both tables have at their beginnings and at their ends. */
static void find_difference(struct span *was, struct span *now) {
  while (was->count > 0 && now->count > 0 && *was->routes == *now->routes) {
    *was = (struct span){was->routes + 1, was->count - 1};
    *now = (struct span){now->routes + 1, now->count - 1};
  }
  while (was->count > 0 && now->count > 0 && was->routes[was->count - 1] == now->routes[now->count - 1]) {
    was->count--;
    now->count--;
  }
}

static struct name *find_route_name(const struct names *names, const struct route *route) {
  return route->stats ? names->by_number[route->stats] : find_text(names, route->name);
}

static void mark_names(struct names *names, const struct span *span, bool retained) {
  for (size_t i = 0; i < span->count; i++) {
    struct name *name = find_route_name(names, span->routes[i]);
    if (!name)
      continue;
    name->retained = retained;
    name->was_live = true;
    if (retained && name->gone)
      name_return(names, name);
  }
}

/* One that was never in a table, or has no number to count under, has nothing to come back to. */
static void leave_unretained(struct names *names, struct name *name, clock_ms now) {
  if (!name || name->retained || name->removed || name->gone || name == names->by_number[0])
    return;
  if (name->was_live && name->number != 0)
    name_go(names, name, now);
  else
    remove_name(names, name);
}

static struct name *first_gone(const struct names *names) {
  return names->gone_count > 0 ? names_at(names->gone.next) : NULL;
}

clock_ms names_expire(struct names *names, clock_ms now) {
  struct name *name;
  while ((name = first_gone(names)) && name->gone_at + NAMES_GONE_MS <= now)
    remove_name(names, name);
  return name ? name->gone_at + NAMES_GONE_MS : CLOCK_NEVER;
}

/* A name is one route's of a table: what was named by one that is in both is neither among what is gone nor new. */
void names_retain(struct names *names, const struct route_table *before, const struct route_table *table, clock_ms at) {
  bool is_next = before && before == names->retained;
  struct span was = {is_next ? before->routes : NULL, is_next ? before->route_count : 0};
  struct span now = {table->routes, table->route_count};
  if (before && !is_next) /* the first, which nobody has told us of */
    mark_names(names, &(struct span){before->routes, before->route_count}, false);
  find_difference(&was, &now);
  mark_names(names, &was, false);
  struct list_node *first = names->live.previous; /* the last come first; those of earlier rounds are in `before` */
  for (; first != &names->live && (!is_next || names_at(first)->round == names->round); first = first->previous)
    names_at(first)->retained = false;
  mark_names(names, &now, true);
  for (struct list_node *node = first->next, *next; node != &names->live; node = next) {
    next = node->next;
    leave_unretained(names, names_at(node), at);
  }
  for (size_t i = 0; i < was.count; i++)
    leave_unretained(names, find_route_name(names, was.routes[i]), at);
  while (names->gone_count > names->gone_most)
    remove_name(names, first_gone(names));
  names->retained = table;
  names->round++;
}

size_t names_forget(struct names *names, size_t *left, unsigned *numbers, size_t most) {
  size_t count = 0;
  LIST_FOREACH(node, &names->removed) {
    struct name *name = names_at(node);
    if (*left == 0 || count == most)
      break;
    --*left;
    list_remove(node);
    if (atomic_load_explicit(&name->shared->references, memory_order_acquire) > 1) {
      list_add_tail(&names->removed, node);
      continue;
    }
    names->removed_count--;
    if (name->number != 0)
      numbers[count++] = name->number;
    else
      name_free(name);
  }
  return count;
}

void names_free(struct names *names, const unsigned *numbers, size_t count) {
  for (size_t i = 0; i < count; i++) {
    name_free(names->by_number[numbers[i]]);
    names->by_number[numbers[i]] = NULL;
    names->free[(names->free_at + names->free_count++) % names->room] = numbers[i];
  }
}

void names_each(const struct names *names, names_each_fn *each, void *context) {
  LIST_FOREACH(node, &names->live) {
    const struct name *name = names_at(node);
    if (name->number != 0 || name == names->by_number[0])
      each(context, name->number, name->text);
  }
  LIST_FOREACH(node, &names->gone) { each(context, names_at(node)->number, names_at(node)->text); }
}

struct name_scope *names_scopes(const struct names *names, size_t *count) {
  struct name_scope *scopes = malloc((names->by_text.count + 1) * sizeof *scopes);
  *count = 0;
  LIST_FOREACH(node, &names->live) {
    if (!scopes)
      break;
    scopes[(*count)++] = (struct name_scope){names_at(node)->shared->scope, names_at(node)->text};
  }
  LIST_FOREACH(node, &names->gone) {
    if (!scopes)
      break;
    scopes[(*count)++] = (struct name_scope){names_at(node)->shared->scope, names_at(node)->text};
  }
  return scopes;
}

static int compare_scopes(const void *left, const void *right) {
  const struct name_scope *a = left, *b = right;
  return a->scope < b->scope ? -1 : a->scope > b->scope;
}

const char *name_scope_text(const struct name_scope *scopes, size_t count, uint32_t scope) {
  const struct name_scope wanted = {.scope = scope};
  const struct name_scope *found = bsearch(&wanted, scopes, count, sizeof *scopes, compare_scopes);
  return found ? found->text : NULL;
}
