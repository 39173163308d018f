/* SPDX-License-Identifier: MIT
 *
 * What the files of a reload share: reload.c has the rounds, reload_steps.c what the loader thread does for them,
 * reload_report.c what they say. */
#pragma once

#include "reload/reload.h"

/* Every change of the phase goes through here. One that lasts is told in the log. */
void reload_enter(struct reload *reload, enum reload_phase phase);

enum { RELOAD_OVERDUE_SIZE = 192 };

/* Whether the swap has waited for a worker for so long that nobody who asked for a reload shall wait for it any longer;
 * then `why` says so. It is made when the worker goes on. */
bool reload_is_overdue(const struct reload *reload, char why[RELOAD_OVERDUE_SIZE]);

/* Has the loader load for this round, then make the table of it, then commit to it and write copies. Each ends in its
 * callback below, later; without memory in reload_end_round(), at once. */
void reload_load(struct reload *reload);
void reload_make(struct reload *reload);
void reload_exclude(struct reload *reload); /* the files of routes that the plane refuses */
void reload_store(struct reload *reload);
void reload_on_loaded(struct reload *reload);
void reload_on_made(struct reload *reload);
void reload_on_excluded(struct reload *reload);

/* A round that nobody has asked for, because something that it depends on has changed. */
void reload_by_itself(struct reload *reload);

/* Forgets the files that wait, for a round that finds out anew. */
void reload_forget_awaited(struct reload *reload);

/* Once a round is over: looks from time to time whether what files wait for can be had. */
void reload_await(struct reload *reload);

/* From now on the state directory is tried again while it is at fault. */
void reload_keep_state(struct instance *instance);

/* What storing the last good versions has come to. */
void reload_stored(struct reload *reload, int status, const struct error *error);

/* Answers who waits, for this round or the next. */
void reload_refuse_all(struct reload *reload, const char *why);

/* Answers who has waited for the round; the next one begins if there was something meanwhile. */
void reload_end_round(struct reload *reload);

/* What the callers of this round are told: {ok, generation, ms, config_changed, changed, removed, faults, warnings,
 * notes}. */
struct value *reload_answer(const struct reload *reload, const struct reload_waiter *waiter);

/* Faults that the last round did not have. */
void reload_log_faults(const struct reload *reload);

/* Keeps what this round has found in the config, if it has read it. */
void reload_keep_standing(struct reload *reload);

void reload_clear_standing(struct reload *reload);

/* Files that had faults until now, and have none in what goes live. Before that takes the place of the old state. */
void reload_log_recovered(const struct reload *reload);

/* One line: what changed, how long it took, how many connections go on with old versions. */
void reload_log_swap(const struct reload *reload);

/* moongate.on_reload. */
void reload_announce(const struct reload *reload, struct worker *worker);
