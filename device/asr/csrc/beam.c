/* CTC beam search over a lexicon with an n-gram language model, a frame at a time (Collobert et al. 2016,
 * arXiv 1609.03193; Graves et al. 2006 for CTC).
 *
 * A hypothesis is a place in the lexicon, the newest token and the words before. Two that agree in place, token and in
 * what the language model remembers of the words have the same future, so only the better one is kept (the score is
 * that of the best alignment, not a sum). Inside a word, the best unigram score that is still in reach stands for the
 * word's own. Words are a tree of histories, newest to oldest; those that no hypothesis leads to are swept away.
 */
#include "search.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    double score;
    uint32_t place, token, past;         /* node; newest token, NONE after a blank; history */
} hypothesis;

typedef struct {
    uint32_t before, entry, depth, hash; /* history; index of the word in the lexicon; how many words; of the context */
    context now;
} history;

typedef struct {
    history *at;
    uint32_t count, room, sweep_at;
} pool;

struct search {
    const lexicon *words;
    const language *model;
    options is;
    hypothesis *beam, *next;             /* next: candidates of the frame */
    uint32_t beam_count, next_count, next_room;
    uint32_t *slots, slot_count;         /* of next, by hash: index + 1 */
    double best, least;                  /* of the frame's candidates; what one has to score at least to be kept */
    hypothesis *staying;                 /* the candidates that stay where they are, copied to be put in order */
    pool past;
    float *frame;                        /* the frame, raised to the floor */
    uint8_t *allowed;                    /* may the token be new in this frame */
    uint32_t *chosen;                    /* those that may, likeliest first */
    uint32_t *answer, answer_room;        /* the best words; another hypothesis' words after answer_room */
    int skipping;                        /* the last frame was a sure blank */
};

static uint32_t hash_context(const context *c) {
    uint32_t h = c->length;
    for (uint32_t i = 0; i < c->length; i++) h = (h ^ c->words[i]) * UINT32_C(0x9e3779b1);
    return h;
}

static int same_context(const history *a, const history *b) {
    return a->hash == b->hash && a->now.length == b->now.length
           && !memcmp(a->now.words, b->now.words, a->now.length * sizeof *a->now.words);
}

static uint32_t remember(search *s, uint32_t before, uint32_t entry, const context *now) {
    pool *p = &s->past;
    if (p->count == p->room) {
        uint32_t room = p->room ? 2 * p->room : 1024;
        history *at = realloc(p->at, room * sizeof *at);
        if (!at) return NONE;
        p->at = at;
        p->room = room;
    }
    uint32_t depth = before == NONE ? 0 : p->at[before].depth + 1;
    p->at[p->count] = (history){before, entry, depth, hash_context(now), *now};
    return p->count++;
}

/* Drops the histories that no hypothesis leads to. A history comes after those that it leads to. */
static int sweep(search *s) {
    pool *p = &s->past;
    uint32_t *moved = calloc(p->count, sizeof *moved), kept = 0;
    if (!moved) return -1;
    for (uint32_t i = 0; i < s->beam_count; i++)
        for (uint32_t h = s->beam[i].past; h != NONE && !moved[h]; h = p->at[h].before) moved[h] = 1;
    for (uint32_t h = 0; h < p->count; h++) {
        if (!moved[h]) continue;
        history one = p->at[h];
        if (one.before != NONE) one.before = moved[one.before];
        p->at[moved[h] = kept++] = one;
    }
    for (uint32_t i = 0; i < s->beam_count; i++) s->beam[i].past = moved[s->beam[i].past];
    free(moved);
    p->count = kept;
    p->sweep_at = 2 * kept + 4096;
    return 0;
}

static int widen(search *s) {
    uint32_t room = s->next_room ? 2 * s->next_room : 1024, slots = 4 * room;
    hypothesis *next = realloc(s->next, room * sizeof *next);
    if (!next) return -1;
    s->next = next;
    uint32_t *table = calloc(slots, sizeof *table);
    if (!table) return -1;
    free(s->slots);
    s->slots = table;
    s->slot_count = slots;
    s->next_room = room;
    return 0;
}

static uint32_t *slot_of(search *s, const hypothesis *h) {
    const history *past = s->past.at;
    uint32_t key = ((h->place * UINT32_C(0x85ebca6b)) ^ h->token) * UINT32_C(0xc2b2ae35) ^ past[h->past].hash;
    for (uint32_t i = key ^ key >> 15;; i++) {
        uint32_t *slot = &s->slots[i & (s->slot_count - 1)];
        if (!*slot) return slot;
        const hypothesis *other = &s->next[*slot - 1];
        if (other->place == h->place && other->token == h->token
            && (other->past == h->past || same_context(&past[other->past], &past[h->past]))) return slot;
    }
}

static int hopeless(const search *s, double score) { return !(score >= s->least); }

static int offer(search *s, uint32_t place, uint32_t token, uint32_t past, double score) {
    if (hopeless(s, score)) return 0;
    if (score > s->best) {
        s->best = score;
        s->least = fmax(s->least, score - s->is.threshold);
    }
    hypothesis new = {score, place, token, past};
    uint32_t *slot = slot_of(s, &new);
    if (*slot) {
        if (score > s->next[*slot - 1].score) s->next[*slot - 1] = new;
        return 0;
    }
    if (s->next_count == s->next_room) {
        if (widen(s)) return -1;
        for (uint32_t i = 0; i < s->next_count; i++) *slot_of(s, &s->next[i]) = i + 1;
        slot = slot_of(s, &new);
    }
    s->next[s->next_count++] = new;
    *slot = s->next_count;
    return 0;
}

/* Ends a word at `place` with `token`, in each way that it may be written. */
static int offer_words(search *s, uint32_t place, uint32_t token, uint32_t past, double score, float ahead) {
    const node *at = &s->words->node[place];
    for (uint32_t entry = at->word; entry < at->word + at->words; entry++) {
        context after;
        float worth = language_score(s->model, &s->past.at[past].now, s->words->word[entry], &after);
        double all = score + s->is.language_weight * (worth - ahead) + s->is.word_score;
        if (hopeless(s, all)) continue;
        uint32_t longer = remember(s, past, entry, &after);
        if (longer == NONE || offer(s, 0, token, longer, all)) return -1;
    }
    return 0;
}

/* Adds no token: the hypothesis stays where it is. */
static int stay(search *s, const hypothesis *h) {
    const options *is = &s->is;
    int failed = offer(s, h->place, NONE, h->past, h->score + s->frame[is->blank]);
    if (h->token != NONE) failed |= offer(s, h->place, h->token, h->past, h->score + s->frame[h->token]);
    if (is->boundary != NONE && !h->place && h->token != is->boundary)
        failed |= offer(s, 0, is->boundary, h->past, h->score + s->frame[is->boundary]);
    return failed;
}

static int extend(search *s, const hypothesis *h) {
    const options *is = &s->is;
    const node *nodes = s->words->node, *at = &nodes[h->place];
    float ahead = h->place ? at->best : 0;
    int failed = 0;
    if (is->boundary != NONE && at->words && s->allowed[is->boundary])
        failed |= offer_words(s, h->place, is->boundary, h->past, h->score + s->frame[is->boundary], ahead);
    for (uint32_t c = at->child; c < at->child + at->children && !failed; c++) {
        uint32_t token = nodes[c].token;
        if (!s->allowed[token] || token == h->token) continue;
        double score = h->score + s->frame[token];
        if (is->boundary != NONE || nodes[c].children)
            failed |= offer(s, c, token, h->past, score + is->language_weight * (nodes[c].best - ahead));
        if (is->boundary == NONE && nodes[c].words) failed |= offer_words(s, c, token, h->past, score, ahead);
    }
    return failed;
}

/* Brings the `count` best of `n` to the front, the worst of them last (Hoare 1961, as Wirth writes it);
 * 0 < count <= n. */
static void select_best(hypothesis *h, ptrdiff_t n, ptrdiff_t count) {
    ptrdiff_t last = count - 1, low = 0, high = n - 1;
    while (low < high) {
        double pivot = h[last].score;
        ptrdiff_t i = low, j = high;
        while (i <= j) {
            while (h[i].score > pivot) i++;
            while (h[j].score < pivot) j--;
            if (i > j) break;
            hypothesis swap = h[i];
            h[i++] = h[j];
            h[j--] = swap;
        }
        if (j < last) low = i;
        if (last < i) high = j;
    }
}

/* Where what stays would fill the beam, nothing that scores less than it is kept. */
static void bound(search *s) {
    uint32_t beam = s->is.beam;
    if (s->next_count < beam) return;
    memcpy(s->staying, s->next, s->next_count * sizeof *s->staying);
    select_best(s->staying, s->next_count, beam);
    s->least = fmax(s->least, s->staying[beam - 1].score);
}

/* Marks the `beam_tokens` likeliest tokens of the frame. */
static void allow(search *s) {
    uint32_t n = s->words->tokens, k = s->is.beam_tokens, count = 0;
    memset(s->allowed, k >= n, n);
    if (k >= n) return;
    uint32_t *chosen = s->chosen;
    for (uint32_t t = 0; t < n; t++) {
        if (count == k && s->frame[t] <= s->frame[chosen[k - 1]]) continue;
        uint32_t i = count < k ? count++ : k - 1;
        for (; i && s->frame[chosen[i - 1]] < s->frame[t]; i--) chosen[i] = chosen[i - 1];
        chosen[i] = t;
    }
    for (uint32_t i = 0; i < k; i++) s->allowed[chosen[i]] = 1;
}

static int step(search *s, const float *log_posteriors) {
    for (uint32_t t = 0; t < s->words->tokens; t++)
        s->frame[t] = log_posteriors[t] > s->is.floor ? fminf(log_posteriors[t], 0) : s->is.floor;
    allow(s);
    s->best = s->least = -INFINITY;
    s->next_count = 0;
    memset(s->slots, 0, s->slot_count * sizeof *s->slots);
    for (uint32_t i = 0; i < s->beam_count; i++)
        if (stay(s, &s->beam[i])) return NO_MEMORY;
    bound(s);
    for (uint32_t i = 0; i < s->beam_count; i++)
        if (extend(s, &s->beam[i])) return NO_MEMORY;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < s->next_count; i++)
        if (!hopeless(s, s->next[i].score)) s->next[kept++] = s->next[i];
    if (kept > s->is.beam) {
        select_best(s->next, kept, s->is.beam);
        kept = s->is.beam;
    }
    memcpy(s->beam, s->next, kept * sizeof *s->beam);
    s->beam_count = kept;
    return s->past.count > s->past.sweep_at ? sweep(s) : 0;
}

int search_accept(search *s, const float *log_posteriors, size_t frames) {
    for (size_t i = 0; i < frames; i++, log_posteriors += s->words->tokens) {
        int sure = log_posteriors[s->is.blank] > s->is.blank_skip, repeated = sure && s->skipping;
        s->skipping = sure;
        int failed = repeated ? 0 : step(s, log_posteriors);
        if (failed) return failed;
    }
    return 0;
}

/* No more frames: closes the last word. */
int search_close(search *s) {
    float *tail = malloc(s->words->tokens * sizeof *tail);
    if (!tail) return NO_MEMORY;
    uint32_t ends[] = {s->is.boundary == NONE ? s->is.blank : s->is.boundary, s->is.blank};
    int failed = 0;
    for (int i = 0; i < 2 && !failed; i++) {
        for (uint32_t t = 0; t < s->words->tokens; t++) tail[t] = t == ends[i] ? 0 : s->is.floor;
        failed = step(s, tail);
    }
    free(tail);
    return failed;
}

static void write_words(const search *s, uint32_t past, uint32_t *entries) {
    for (uint32_t h = past; s->past.at[h].before != NONE; h = s->past.at[h].before)
        entries[s->past.at[h].depth - 1] = s->past.at[h].entry;
}

/* The best words: returns how many, and in `rows` their rows, which the search owns until it is next called; or
 * NO_MEMORY. The first `stable` of them are those of every hypothesis. `closed`: only hypotheses that end with a word
 * count, where there are any, and the end of the sentence is scored. */
long search_best(search *s, int closed, const uint32_t **rows, uint32_t *stable, double *score) {
    const history *past = s->past.at;
    const hypothesis *best = NULL;
    uint32_t longest = 0;
    int whole = 0;
    *score = -INFINITY;
    *stable = 0;
    for (uint32_t i = 0; closed && i < s->beam_count; i++) whole |= !s->beam[i].place;
    for (uint32_t i = 0; i < s->beam_count; i++) {
        const hypothesis *h = &s->beam[i];
        if (past[h->past].depth > longest) longest = past[h->past].depth;
        if (whole && h->place) continue;
        double all = h->score;
        if (closed) all += s->is.language_weight * language_end(s->model, &past[h->past].now);
        if (!best || all > *score) {
            best = h;
            *score = all;
        }
    }
    if (longest > s->answer_room) {
        free(s->answer);
        s->answer_room = 0;
        s->answer = malloc(4 * longest * sizeof *s->answer); /* two lists, with room to grow */
        if (!s->answer) return NO_MEMORY;
        s->answer_room = 2 * longest;
    }
    uint32_t count = past[best->past].depth, *answer = s->answer, *other = answer + s->answer_room, shared = count;
    write_words(s, best->past, answer);
    for (uint32_t i = 0; i < s->beam_count && shared; i++) {
        uint32_t depth = past[s->beam[i].past].depth, same = 0;
        write_words(s, s->beam[i].past, other);
        for (; same < depth && same < shared; same++) {
            uint32_t a = s->words->word[answer[same]], b = s->words->word[other[same]];
            if (answer[same] != other[same] && (!a || a != b)) break;
        }
        shared = same;
    }
    for (uint32_t i = 0; i < count; i++) answer[i] = s->words->row[answer[i]];
    *rows = answer;
    *stable = shared;
    return count;
}

void search_begin(search *s) {
    context start = language_begin(s->model);
    s->past.count = 0;
    s->past.sweep_at = 4096;
    s->skipping = 0;
    s->beam_count = 1;
    s->beam[0] = (hypothesis){0, 0, s->is.boundary, remember(s, NONE, NONE, &start)};
}

/* Whether a search with these options always keeps a hypothesis. In each frame the blank of the beam's first one is
 * offered first, and its score is neither no number nor minus infinity: the frame's values are finite, and whatever
 * scores of a bundle lead there is hopeless beside it, so never in a beam. The best candidate is never dropped. */
static int sound(const options *o, uint32_t tokens) {
    return o->beam && o->beam_tokens && o->blank < tokens && (o->boundary == NONE || o->boundary < tokens)
           && o->threshold >= 0 && isfinite(o->threshold) && isfinite(o->language_weight)
           && isfinite(o->word_score) && isfinite(o->floor) && !isnan(o->blank_skip);
}

search *search_new(const lexicon *words, const language *model, const options *chosen) {
    uint32_t n = words->tokens;
    if (!sound(chosen, n)) return NULL;
    search *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    s->words = words;
    s->model = model;
    s->is = *chosen;
    s->beam = malloc(s->is.beam * sizeof *s->beam);
    s->staying = malloc(3 * (size_t)s->is.beam * sizeof *s->staying);
    s->frame = malloc(n * sizeof *s->frame);
    s->chosen = malloc(n * sizeof *s->chosen);
    s->allowed = malloc(n);
    s->past.room = 64;
    s->past.at = malloc(s->past.room * sizeof *s->past.at);
    if (!s->beam || !s->staying || !s->frame || !s->chosen || !s->allowed || !s->past.at || widen(s)) {
        search_free(s);
        return NULL;
    }
    search_begin(s);
    return s;
}

/* A second search in the same state; what either is given does not touch the other. It keeps `beam` hypotheses, 0 for
 * as many as the first, which is the most. */
search *search_copy(const search *from, uint32_t beam) {
    search *s = search_new(from->words, from->model, &from->is);
    history *past = s ? realloc(s->past.at, from->past.room * sizeof *past) : NULL;
    if (!past) {
        search_free(s);
        return NULL;
    }
    memcpy(past, from->past.at, from->past.count * sizeof *past);
    s->past = from->past;
    s->past.at = past;
    memcpy(s->beam, from->beam, from->beam_count * sizeof *s->beam);
    s->beam_count = from->beam_count;
    s->skipping = from->skipping;
    if (beam && beam < s->is.beam) s->is.beam = beam;
    return s;
}

void search_free(search *s) {
    if (!s) return;
    free(s->beam);
    free(s->staying);
    free(s->next);
    free(s->slots);
    free(s->past.at);
    free(s->frame);
    free(s->allowed);
    free(s->chosen);
    free(s->answer);
    free(s);
}
