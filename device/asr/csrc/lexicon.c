/* Every word's spelling, as a trie of tokens in flat arrays, with the best score below each node for the look-ahead.
 *
 * Rows are sorted by spelling, so that what begins alike stands together; a node is then a stretch of rows, and the
 * trie is built breadth first in one pass over the nodes.
 */
#include "search.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const uint16_t *tokens;
    uint32_t length, row;
} spelled;

/* Any order will do that puts a spelling before those that it begins and the first row before the next. */
static int compare(const void *a, const void *b) {
    const spelled *x = a, *y = b;
    uint32_t shared = x->length < y->length ? x->length : y->length;
    int order = memcmp(x->tokens, y->tokens, shared * sizeof *x->tokens);
    if (order) return order;
    if (x->length != y->length) return x->length < y->length ? -1 : 1;
    return x->row < y->row ? -1 : x->row > y->row;
}

/* The stretch of rows under a node that is being built. */
typedef struct {
    uint32_t begin, end, depth;
} stretch;

static int add_node(lexicon *l, stretch **under, uint32_t *room, uint16_t token, stretch rows) {
    if (l->nodes == *room) {
        uint32_t more = *room ? 2 * *room : 1 << 16;
        node *nodes = realloc(l->node, more * sizeof *nodes);
        if (nodes) l->node = nodes;
        stretch *stretches = realloc(*under, more * sizeof *stretches);
        if (stretches) *under = stretches;
        if (!nodes || !stretches) return -1;
        *room = more;
    }
    l->node[l->nodes] = (node){.token = token, .best = -INFINITY};
    (*under)[l->nodes++] = rows;
    return 0;
}

static int build(lexicon *l, const spelled *rows, uint32_t count, const float *scores, uint32_t homophones) {
    stretch *under = NULL;
    uint32_t room = 0;
    int failed = add_node(l, &under, &room, 0, (stretch){0, count, 0});
    for (uint32_t i = 0; !failed && i < l->nodes; i++) {
        stretch all = under[i];
        uint32_t at = all.begin;
        l->node[i].word = l->rows;
        for (; at < all.end && rows[at].length == all.depth; at++) {
            if (!all.depth || l->node[i].words == homophones) continue;
            l->row[l->rows++] = rows[at].row;
            l->node[i].words++;
            l->node[i].best = fmaxf(l->node[i].best, scores[rows[at].row]);
        }
        l->node[i].child = l->nodes;
        while (!failed && at < all.end) {
            uint16_t token = rows[at].tokens[all.depth];
            uint32_t begin = at;
            while (at < all.end && rows[at].tokens[all.depth] == token) at++;
            failed = add_node(l, &under, &room, token, (stretch){begin, at, all.depth + 1});
            l->node[i].children++;
        }
    }
    free(under);
    for (uint32_t i = l->nodes; !failed && i--;)
        for (uint32_t c = 0; c < l->node[i].children; c++)
            l->node[i].best = fmaxf(l->node[i].best, l->node[l->node[i].child + c].best);
    return failed;
}

/* `rows` words: row i is spelled by spelling[ends[i - 1] .. ends[i]] and written in text[text_ends[i - 1] .. ), with
 * one byte between words. Of rows that are spelled alike, the first `homophones` are kept. */
lexicon *lexicon_build(const language *model, uint32_t rows, const uint32_t *ends, const uint16_t *spelling,
                       const float *scores, const char *text, const uint32_t *text_ends, uint32_t tokens,
                       uint32_t homophones, char *error, size_t room) {
    lexicon *l = calloc(1, sizeof *l);
    spelled *sorted = malloc((rows + (size_t)1) * sizeof *sorted);
    int failed = !l || !sorted;
    snprintf(error, room, "not enough memory");
    if (tokens > UINT16_MAX || homophones > UINT16_MAX) { /* a node counts its children and words in 16 bits */
        snprintf(error, room, "more than %u tokens or homophones", UINT16_MAX);
        failed = 1;
    }
    for (uint32_t i = 0; !failed && i < rows; i++) {
        uint32_t begin = i ? ends[i - 1] : 0;
        sorted[i] = (spelled){spelling + begin, ends[i] - begin, i};
        for (uint32_t t = begin; t < ends[i]; t++) failed |= spelling[t] >= tokens;
        if (failed) snprintf(error, room, "row %u is spelled with a token that the model lacks", i + 1);
    }
    if (!failed) {
        qsort(sorted, rows, sizeof *sorted, compare);
        l->tokens = tokens;
        l->row = malloc((rows + (size_t)1) * sizeof *l->row);
        l->word = malloc((rows + (size_t)1) * sizeof *l->word);
        failed = !l->row || !l->word || build(l, sorted, rows, scores, homophones);
    }
    for (uint32_t i = 0; !failed && i < l->rows; i++) {
        uint32_t row = l->row[i], begin = row ? text_ends[row - 1] + 1 : 0;
        l->word[i] = language_word(model, text + begin, text_ends[row] - begin);
    }
    free(sorted);
    if (!failed) return l;
    lexicon_free(l);
    return NULL;
}

void lexicon_free(lexicon *words) {
    if (!words) return;
    free(words->node);
    free(words->row);
    free(words->word);
    free(words);
}
