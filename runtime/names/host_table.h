/* SPDX-License-Identifier: MIT
 *
 * What is known of names: addresses with the end of their TTL, and what has gone wrong with asking for them since
 * (RFC 8767: last known addresses serve while name servers fail). Shared by all workers, under locks of which each has
 * a part of the names, and bounded. It asks nobody: it says who is to be asked for, and is told the answers. */
#pragma once

#include "core/clock.h"
#include "names/dns_files.h"
#include "names/host_answer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

const char *host_result_label(enum host_result result);

struct host_table;

/* One reference. NULL without memory. `files` gets a reference. */
struct host_table *host_table_new(const struct host_table_options *options, struct dns_files *files);
struct host_table *host_table_ref(struct host_table *table);
void host_table_unref(struct host_table *table); /* NULL is nothing */

/* Any thread. What is known stays, but is compared with the hosts file once more, and what failed is asked for again;
 * nothing when they say the same as before. True: they don't. */
bool host_table_set_files(struct host_table *table, struct dns_files *files);

/* A reference to those that hold now; `serial` is another one for each. */
struct dns_files *host_table_files(struct host_table *table, uint64_t *serial);
uint64_t host_table_serial(const struct host_table *table);

/* Any thread; the names are normal ones. `*ask`: of these families the caller is to ask for, now (they are claimed for
 * a while, so that others don't); 0 mostly. */
enum host_state host_table_find(struct host_table *table, const char *name, size_t size, clock_ms now,
                                struct resolve_result *result, unsigned *ask);

/* The same for those that wait for an answer already: it counts for no use, and asks for nothing. */
enum host_state host_table_peek(struct host_table *table, const char *name, size_t size, clock_ms now,
                                struct resolve_result *result);

/* The name is not in the hosts file as it is now. */
void host_table_confirm(struct host_table *table, const char *name, size_t size, clock_ms now);

/* A name of which nothing is known is going to be asked for. 0; -ENOMEM; -EAGAIN: as many as there may be are asked for
 * now. */
int host_table_ask(struct host_table *table, const char *name, size_t size, clock_ms now);

/* It is time to ask again, if somebody has used the name since the last time: for these families; else 0. */
unsigned host_table_claim(struct host_table *table, const char *name, size_t size, clock_ms now);

/* When that may be; 0: never. */
clock_ms host_table_next(struct host_table *table, const char *name, size_t size);

/* What an answer has changed, for the log. */
enum host_change {
  HOST_SAME,
  HOST_STALE, /* the last known addresses serve from now on */
  HOST_WELL,  /* … no longer, there are new ones */
  HOST_GONE,  /* … no longer, and there are none: the name was denied, or they are too old */
};

struct host_news {
  enum host_change change;
  uint64_t stale_ms; /* how long the TTL has been over */
};

void host_table_note(struct host_table *table, const char *name, size_t size, const struct host_answer *answer,
                     clock_ms now, struct host_news *news);

struct host_counts {
  size_t names, stale;
  uint64_t results[HOST_RESULT_COUNT]; /* of queries */
};
void host_table_count(const struct host_table *table, struct host_counts *counts);

/* At most `most` of those whose last known addresses serve; how many. Those that are too old by now are counted no
 * more.
 */
size_t host_table_list_stale(struct host_table *table, clock_ms now, struct host_report *reports, size_t most);
