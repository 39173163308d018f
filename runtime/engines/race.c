/* SPDX-License-Identifier: MIT
 *
 * Connecting to the route's targets. The one that the exchange names is the latest. Where the choice does not depend on
 * the client (round robin, least connections), and it has not answered for a while, the next one is tried beside it;
 * those that were begun before are its rivals, and the first that connects has the client. Everywhere else the next one
 * is tried when one has failed. Most connections need nothing of this: the record of a race is made when the second
 * target is turned to. */
#include "dial/dial.h"
#include "engines/userspace.h"
#include "engines/userspace_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* So many are under way beside the latest; the one that has waited longest makes room, and has failed. */
enum { RIVALS_MOST = 15 };

/* A target that was begun before the exchange's. */
struct rival {
  struct list_node node; /* in race->rivals, the oldest first */
  struct exchange *exchange;
  const struct route_target *target;
  char *host; /* malloc'd; NULL: the target's own */
  int port;
  bool loaded; /* counted in target->load */
  struct dial *dial;
};

struct race {
  struct list_node rivals;
  size_t count;     /* of them */
  bool waits;       /* the exchange's target has failed, and there is no other for now: it is up to the rivals */
  uint64_t tried[]; /* bits by index of the route's targets */
};

static size_t under_way(const struct exchange *exchange) {
  return (exchange->race ? exchange->race->count : 0) + (exchange->dial ? 1 : 0);
}

bool race_waits(const struct exchange *exchange) { return exchange->dial || (exchange->race && exchange->race->waits); }

static bool has_untried(const struct exchange *exchange) {
  return !exchange->host_given && exchange->attempts + under_way(exchange) < exchange->route->target_count;
}

static struct race *race_of(struct exchange *exchange) {
  if (exchange->race)
    return exchange->race;
  size_t words = (exchange->route->target_count + 63) / 64;
  struct race *race = calloc(1, sizeof *race + words * sizeof race->tried[0]);
  if (race)
    list_init(&race->rivals);
  exchange->race = race;
  return race;
}

/* The next target for it, which is not one that has to be asked where it is while others are under way. NULL: there is
 * none, or no memory. */
static const struct route_target *race_choose(struct exchange *exchange) {
  struct race *race = has_untried(exchange) ? race_of(exchange) : NULL;
  if (!race)
    return NULL;
  size_t index = (size_t)(exchange->target - exchange->route->targets);
  race->tried[index / 64] |= UINT64_C(1) << index % 64;
  struct target_choice choice = target_choice_of(exchange);
  choice.tried = race->tried;
  choice.plain = under_way(exchange) > 0;
  return route_next_target(&choice, exchange->target);
}

static void turn_to(struct exchange *exchange, const struct route_target *target) {
  exchange->target = target;
  free(exchange->host);
  exchange->host = NULL;
  exchange->port = -1;
}

static void rival_free(struct rival *rival) {
  list_remove(&rival->node);
  rival->exchange->race->count--;
  if (rival->loaded)
    target_load_leave(rival->target->load);
  free(rival->host);
  free(rival);
}

static void forget_failures(const struct exchange *exchange, const struct route_target *target) {
  const struct target_choice choice = target_choice_of(exchange);
  struct failure_key key;
  if (target_failure_key(&choice, target, &key))
    failures_forget(choice.failures, &key);
}

static void note_connected(const struct exchange *exchange, const struct route_target *target, uint64_t took_ms) {
  const struct failures *failures = exchange_worker(exchange)->dialer.failures;
  if (!target)
    return;
  if (target->load && atomic_load_explicit(&target->load->connect_ms, memory_order_relaxed) != took_ms)
    atomic_store_explicit(&target->load->connect_ms, (unsigned)took_ms, memory_order_relaxed);
  if (!target->address.is_set && failures_count(failures) > 0) /* of an address the dial has done it */
    forget_failures(exchange, target);
}

static void drop_latest(struct exchange *exchange) {
  dial_cancel(exchange->dial);
  exchange->dial = NULL;
  target_let_go(exchange);
  free(exchange->host);
}

/* A rival has connected: the exchange's target is that one. */
static void rival_win(struct rival *rival, int fd) {
  struct exchange *exchange = rival->exchange;
  if (exchange->dial)
    exchange->attempts++;
  drop_latest(exchange);
  note_connected(exchange, rival->target, dial_took_ms(rival->dial));
  exchange->target = rival->target;
  exchange->host = rival->host;
  exchange->port = rival->port;
  exchange->loaded = rival->loaded;
  rival->host = NULL;
  rival->loaded = false;
  rival_free(rival);
  exchange->dialled = true;
  exchange->dial_result = fd;
  exchange_resume(exchange);
}

static void rival_fail(struct rival *rival, int status, bool last) {
  struct exchange *exchange = rival->exchange;
  const struct target_failure failure = {rival->target, rival->host, rival->port, status};
  exchange->attempts++;
  target_failed(exchange, &failure);
  target_failure_log(exchange, &failure, last);
  rival_free(rival);
}

/* While a later one is under way that has its own time. When it was the last of them, what had to be asked where it is
 * may be tried. */
static void on_rival_dialled(void *context, int status, int fd, const struct endpoint *peer) {
  struct rival *rival = context;
  struct exchange *exchange = rival->exchange;
  struct race *race = exchange->race;
  (void)peer;
  if (status == 0) {
    rival_win(rival, fd);
    return;
  }
  bool was_last = race->waits && race->count == 1;
  bool others = was_last && exchange->attempts + 1u < exchange->route->target_count;
  rival_fail(rival, status, was_last && !others);
  if (!was_last)
    return;
  race->waits = false;
  const struct route_target *next = race_choose(exchange);
  if (!next) {
    exchange_close(exchange, PIPE_TARGET, target_failure_reason(status));
    return;
  }
  turn_to(exchange, next);
  exchange_resume(exchange);
}

static void race_make_room(struct race *race) {
  if (race->count < RIVALS_MOST)
    return;
  struct rival *oldest = LIST_OWNER(race->rivals.next, struct rival, node);
  dial_give_up(oldest->dial);
  rival_fail(oldest, -ETIMEDOUT, false);
}

/* The exchange's target has not answered for so long that the next one is tried beside it. */
static void on_target_slow(void *context) {
  struct exchange *exchange = context;
  const struct route_target *next = race_choose(exchange);
  struct rival *rival = next ? malloc(sizeof *rival) : NULL;
  if (!rival)
    return; /* it goes on, and what is left is tried when it fails */
  *rival = (struct rival){.exchange = exchange,
                          .target = exchange->target,
                          .host = exchange->host,
                          .port = exchange->port,
                          .loaded = exchange->loaded,
                          .dial = exchange->dial};
  dial_hand_over(rival->dial, on_rival_dialled, rival);
  exchange->dial = NULL;
  exchange->host = NULL;
  exchange->loaded = false;
  race_make_room(exchange->race);
  list_add_tail(&exchange->race->rivals, &rival->node);
  exchange->race->count++;
  turn_to(exchange, next);
  exchange_resume(exchange);
}

static void on_dialled(void *context, int status, int fd, const struct endpoint *peer) {
  struct exchange *exchange = context;
  (void)peer;
  if (status == 0)
    note_connected(exchange, exchange->target, exchange->dialling ? 0 : dial_took_ms(exchange->dial));
  exchange->dial = NULL;
  exchange->dialled = true;
  exchange->dial_result = status == 0 ? fd : status;
  if (!exchange->dialling)
    exchange_resume(exchange);
}

/* How long the next target waits for this one; 0: until it fails. */
static uint64_t patience_with(const struct exchange *exchange) {
  const struct route *route = exchange->route;
  if (!route_races(route) || exchange->host_given ||
      exchange->attempts + under_way(exchange) + 1 >= route->target_count)
    return 0;
  uint64_t twice = 2 * (uint64_t)atomic_load_explicit(&exchange->target->load->connect_ms, memory_order_relaxed);
  return twice > DIAL_ATTEMPT_DELAY_MS ? twice : DIAL_ATTEMPT_DELAY_MS;
}

/* The deadline is one for all targets. Where they are not raced, each has its share of what is left, so that one that
 * is silent leaves time for the rest. */
static uint64_t time_for(const struct exchange *exchange) {
  clock_ms now = exchange_now(exchange);
  uint64_t left = exchange->connect_deadline > now ? exchange->connect_deadline - now : 1;
  bool shared = !exchange->host_given && !route_races(exchange->route);
  return shared ? left / (exchange->route->target_count - exchange->attempts) + 1 : left;
}

void race_dial(struct exchange *exchange) {
  struct dialer *dialer = &exchange_worker(exchange)->dialer;
  const struct route_target *target = exchange->host ? NULL : exchange->target;
  uint16_t port = (uint16_t)(exchange->port < 0 ? 0 : exchange->port);
  struct dial_terms terms = {.ms = time_for(exchange),
                             .patience_ms = patience_with(exchange),
                             .done = on_dialled,
                             .slow = on_target_slow,
                             .context = exchange};
  exchange->dialling = true;
  struct dial *dial = target && target->address.is_set
                          ? dial_start_address(dialer, &target->address, port, &terms)
                          : dial_start(dialer, target ? target->host : exchange->host, port, &terms);
  exchange->dialling = false;
  if (!exchange->dialled)
    exchange->dial = dial;
}

bool race_go_on(struct exchange *exchange) {
  int status = exchange->dial_result;
  const struct target_failure failure = {exchange->host_given ? NULL : exchange->target, exchange->host, exchange->port,
                                         status};
  exchange->attempts++;
  target_failed(exchange, &failure);
  bool is_ours = status == -EMFILE || status == -ENFILE || status == -ENOMEM; /* not the target's */
  const struct route_target *next = is_ours ? NULL : race_choose(exchange);
  bool last = !next && under_way(exchange) == 0;
  target_failure_log(exchange, &failure, last);
  if (last)
    return false;
  target_let_go(exchange);
  if (!next) {
    exchange->race->waits = true;
    return true;
  }
  turn_to(exchange, next);
  return true;
}

void race_end(struct exchange *exchange) {
  struct race *race = exchange->race;
  exchange->attempts = (uint16_t)(exchange->attempts + under_way(exchange));
  dial_cancel(exchange->dial);
  exchange->dial = NULL;
  if (!race)
    return;
  LIST_FOREACH(node, &race->rivals) {
    struct rival *rival = LIST_OWNER(node, struct rival, node);
    dial_cancel(rival->dial);
    rival_free(rival);
  }
  free(race);
  exchange->race = NULL;
}

struct address_list {
  char *text;
  size_t size, used;
};

static void list_address(void *context, const struct endpoint *address) {
  struct address_list *list = context;
  char one[ENDPOINT_TEXT_SIZE];
  size_t left = list->size - list->used;
  endpoint_format(address, one);
  if (list->used + strlen(one) + sizeof ", , …" <= list->size)
    list->used += (size_t)snprintf(list->text + list->used, left, "%s%s", list->used ? ", " : "", one);
  else if (list->used > 0 && !strstr(list->text, "…"))
    snprintf(list->text + list->used, left, ", …");
}

const char *userspace_trying(const struct exchange *exchange, char *text, size_t size) {
  struct address_list list = {text, size, 0};
  text[0] = '\0';
  if (exchange->state != EXCHANGE_CONNECTING)
    return text;
  if (exchange->race)
    LIST_FOREACH(node, &exchange->race->rivals)
  dial_each_address(LIST_OWNER(node, struct rival, node)->dial, list_address, &list);
  if (exchange->dial)
    dial_each_address(exchange->dial, list_address, &list);
  return text;
}
