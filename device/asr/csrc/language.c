/* An n-gram language model, mapped from the trie that KenLM's build_binary writes (format 5, trie version 1).
 *
 * The file: a header with the number of n-grams of each order; the words' 64-bit murmur hashes in order, a word's place
 * there, from 1, being its number (0 is the unknown word); bins of quantised values, in some files; an array of
 * unigrams; a bit-packed array for each order above. n-grams are stored newest word first; each points to those that
 * are one word longer, which are sorted by that word. Pointers may be split into low bits, in the array, and an index
 * of where the high bits change. Described in Heafield 2011, "KenLM: Faster and Smaller Language Model Queries".
 *
 * Everything that the file says is checked against its size: sizes when it is opened, pointers when they are followed.
 */
#define _POSIX_C_SOURCE 200809L
#include "search.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "KenLM's files hold little-endian numbers as they are in memory"
#endif

enum { MAGIC = 56, PROBING = 0, REST_PROBING = 1, TRIE = 2, QUANTISED = 1, INDEXED = 2 };
static const char MAGIC_TEXT[] = "mmap lm http://kheafield.com/code format version 5\n";
static const uint8_t SANITY[32] = {0, 0, 0, 0, 0, 0, 0x80, 0x3f, 0, 0, 0, 0xbf, 1, 0, 0, 0,
                                   0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 1}; /* 0.0f, 1.0f, -0.5f, 1, max, 0, 1 */

typedef struct {
    uint64_t begin, end;
} range;

/* n-grams of one order above the first: word, backoff and probability, low bits of the pointer to the next order. */
typedef struct {
    const uint8_t *bits;
    uint64_t count, above;               /* n-grams of this order, and of the next */
    uint32_t word_bits, value_bits, pointer_bits, total_bits;
    const uint8_t *turns;                /* where the pointers' high bits change, uint64 each; NULL: no such index */
    uint64_t turn_count;
    const uint8_t *backoffs, *probabilities; /* bins, float each; NULL: not quantised */
    uint32_t backoff_bits, probability_bits;
} level;

struct language {
    uint8_t *map;
    size_t size;
    uint32_t order, start, end, vocabulary; /* vocabulary: how many words have a hash */
    const uint8_t *hashes, *unigrams;
    uint64_t bigrams;
    level level[ORDER - 1];
};

static uint64_t u64(const uint8_t *at) { uint64_t x; memcpy(&x, at, 8); return x; }
static uint32_t u32(const uint8_t *at) { uint32_t x; memcpy(&x, at, 4); return x; }

/* A number that a damaged file cannot make into one that spoils every comparison. */
static float number(uint32_t bits) {
    float x;
    memcpy(&x, &bits, 4);
    return x > -1e4f && x < 1e4f ? x : -1e4f;
}

static uint64_t bits_at(const uint8_t *base, uint64_t offset, uint32_t width) { /* width <= 57 */
    return (u64(base + (offset >> 3)) >> (offset & 7)) & ((UINT64_C(1) << width) - 1);
}

static uint32_t width_of(uint64_t largest) {
    uint32_t width = 0;
    for (; largest; largest >>= 1) width++;
    return width;
}

/* MurmurHash64A (Appleby, public domain) with seed 0. */
static uint64_t murmur(const char *text, size_t length) {
    const uint64_t m = UINT64_C(0xc6a4a7935bd1e995);
    uint64_t h = length * m;
    for (; length >= 8; text += 8, length -= 8) {
        uint64_t k = u64((const uint8_t *)text) * m;
        h = (h ^ (k ^ k >> 47) * m) * m;
    }
    if (length) {
        uint64_t k = 0;
        memcpy(&k, text, length);
        h = (h ^ k) * m;
    }
    h = (h ^ h >> 47) * m;
    return h ^ h >> 47;
}

uint32_t language_word(const language *model, const char *word, size_t length) {
    uint64_t wanted = murmur(word, length);
    uint32_t low = 0, high = model->vocabulary;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        uint64_t found = u64(model->hashes + 8 * (uint64_t)middle);
        if (found == wanted) return middle + 1;
        if (found < wanted) low = middle + 1;
        else high = middle;
    }
    return 0;
}

/* KenLM marks a context that no longer n-gram begins with by a backoff of minus zero. */
static int extends(float backoff) { return backoff != 0.0f || !signbit(backoff); }

static range unigram(const language *model, uint32_t word, float *probability, float *backoff) {
    const uint8_t *at = model->unigrams + 16 * (uint64_t)word;
    *probability = number(u32(at));
    *backoff = number(u32(at + 4));
    return (range){u64(at + 8), u64(at + 24)};
}

/* The last turn at or before an n-gram's place is the high bits of its pointer. */
static uint64_t pointer_at(const level *l, uint64_t place) {
    uint64_t low = bits_at(l->bits, place * l->total_bits + l->word_bits + l->value_bits, l->pointer_bits);
    if (!l->turns) return low;
    uint64_t first = 0, count = l->turn_count;
    while (count > 1) {
        uint64_t half = count / 2;
        if (u64(l->turns + 8 * (first + half)) <= place) first += half;
        count -= half;
    }
    return low | first << l->pointer_bits;
}

/* Finds a word among n-grams; returns whether it is there, its values, and which longer ones it begins. */
static int find(const level *l, uint32_t word, range *among, float *probability, float *backoff) {
    uint64_t low = among->begin, high = among->end < l->count ? among->end : l->count;
    for (;;) {
        if (low >= high) return 0;
        uint64_t middle = low + (high - low) / 2, found = bits_at(l->bits, middle * l->total_bits, l->word_bits);
        if (found == word) {
            low = middle;
            break;
        }
        if (found < word) low = middle + 1;
        else high = middle;
    }
    uint64_t at = low * l->total_bits + l->word_bits;
    if (l->probabilities) {
        *probability = number(u32(l->probabilities + 4 * bits_at(l->bits, at + l->backoff_bits, l->probability_bits)));
        if (backoff) *backoff = number(u32(l->backoffs + 4 * bits_at(l->bits, at, l->backoff_bits)));
    } else {
        *probability = number((uint32_t)bits_at(l->bits, at, 31) | UINT32_C(1) << 31);
        if (backoff) *backoff = number((uint32_t)bits_at(l->bits, at + 31, 32));
    }
    if (backoff) *among = (range){pointer_at(l, low), pointer_at(l, low + 1)};
    return 1;
}

float language_score(const language *model, const context *before, uint32_t word, context *after) {
    context next = {.words = {word}};
    float score;
    range longer = unigram(model, word, &score, &next.backoff[0]);
    uint32_t matched = 1;
    next.length = extends(next.backoff[0]);
    for (uint32_t i = 0; i < before->length && longer.begin < longer.end; i++) {
        int longest = i + 2 == model->order;
        if (!find(&model->level[i], before->words[i], &longer, &score, longest ? NULL : &next.backoff[i + 1])) break;
        matched = i + 2;
        if (longest) break;
        if (extends(next.backoff[i + 1])) next.length = i + 2;
    }
    for (uint32_t i = 1; i < next.length; i++) next.words[i] = before->words[i - 1];
    for (uint32_t i = matched - 1; i < before->length; i++) score += before->backoff[i];
    *after = next;
    return score;
}

context language_begin(const language *model) {
    context start = {.length = 1, .words = {model->start}};
    float unused;
    unigram(model, model->start, &unused, &start.backoff[0]);
    return start;
}

float language_end(const language *model, const context *before) {
    context unused;
    return language_score(model, before, model->end, &unused);
}

/* Scores of words that follow each other from the start of a sentence, and of its end: count + 1 of them. */
void language_sentence(const language *model, const uint32_t *words, size_t count, float *scores) {
    context now = language_begin(model);
    for (size_t i = 0; i < count; i++) {
        context after;
        scores[i] = language_score(model, &now, words[i] <= model->vocabulary ? words[i] : 0, &after);
        now = after;
    }
    scores[count] = language_end(model, &now);
}

/* How KenLM splits pointers: as many high bits into the index, `limit` at most, as make both together smallest. */
static uint32_t indexed_bits(uint64_t entries, uint64_t largest, uint32_t limit) {
    uint32_t width = width_of(largest), best = 0;
    int64_t least = INT64_MAX;
    for (uint32_t high = 0; high <= width && high <= limit; high++) {
        int64_t change = (int64_t)(largest >> (width - high)) * 64 - (int64_t)entries * high;
        if (change < least) {
            least = change;
            best = high;
        }
    }
    return best;
}

/* Takes the next `size` bytes of the file: their beginning, or NULL if they are not all there. */
static const uint8_t *take(const language *model, uint64_t *offset, uint64_t size) {
    if (size > model->size || *offset > model->size - size) return NULL;
    const uint8_t *taken = model->map + *offset;
    *offset += size;
    return taken;
}

static const char *const CUT_OFF = "cut off or damaged; fetch or pack it again";

static const char *lay_out(language *model) {
    uint64_t at = 0, counts[ORDER + 1] = {0};
    const uint8_t *header = take(model, &at, MAGIC + sizeof SANITY + 20);
    if (!header || memcmp(header, MAGIC_TEXT, sizeof MAGIC_TEXT) || memcmp(header + MAGIC, SANITY, sizeof SANITY))
        return "not a KenLM binary of version 5 (an ARPA text?); pack it with `build_binary trie`";
    const uint8_t *fixed = header + MAGIC + 32;
    uint32_t kind = u32(fixed + 8);
    model->order = fixed[0];
    if (kind == PROBING || kind == REST_PROBING) return "a KenLM hash table; pack the ARPA file with `build_binary trie`";
    if (kind > TRIE + QUANTISED + INDEXED || u32(fixed + 16) != 1) return "a KenLM trie of an unknown version";
    if (model->order < 2 || model->order > ORDER) return "n-grams must be of 2 to 6 words";
    if (!take(model, &at, 8 * model->order)) return CUT_OFF;
    for (uint32_t i = 0; i < model->order; i++) {
        counts[i] = u64(fixed + 20 + 8 * i);
        if (counts[i] < (i ? 0 : 3) || counts[i] >> 31) return CUT_OFF;
    }
    at = (at + 7) / 8 * 8;
    const uint8_t *vocabulary = take(model, &at, 8 + 8 * counts[0]);
    if (!vocabulary || u64(vocabulary) >= counts[0]) return CUT_OFF;
    model->vocabulary = (uint32_t)u64(vocabulary);
    model->hashes = vocabulary + 8;

    uint32_t probability_bits = 31, backoff_bits = 32;
    const uint8_t *bins = NULL;
    int quantised = (kind - TRIE) & QUANTISED, indexed = (kind - TRIE) & INDEXED;
    if (quantised) {
        const uint8_t *told = take(model, &at, 8);
        if (!told || told[0] != 2 || !told[1] || told[1] > 25 || !told[2] || told[2] > 25) return CUT_OFF;
        probability_bits = told[1], backoff_bits = told[2];
        uint64_t pair = (UINT64_C(4) << probability_bits) + (UINT64_C(4) << backoff_bits);
        bins = take(model, &at, (model->order - 2) * pair + (UINT64_C(4) << probability_bits));
        if (!bins) return CUT_OFF;
    }
    model->unigrams = take(model, &at, 16 * (counts[0] + 2));
    if (!model->unigrams) return CUT_OFF;

    for (uint32_t i = 0; i + 1 < model->order; i++) {
        level *l = &model->level[i];
        int longest = i + 2 == model->order;
        *l = (level){.count = counts[i + 1], .above = counts[i + 2], .word_bits = width_of(counts[0]),
                     .backoff_bits = longest ? 0 : backoff_bits, .probability_bits = probability_bits};
        l->value_bits = l->backoff_bits + l->probability_bits;
        if (quantised) {
            l->probabilities = bins;
            l->backoffs = bins += UINT64_C(4) << probability_bits;
            bins += UINT64_C(4) << backoff_bits;
        }
        if (!longest) {
            l->pointer_bits = width_of(l->above);
            if (indexed) {
                uint64_t begin = at;
                const uint8_t *told = take(model, &at, 2);
                if (!told || told[0] || told[1] > 64) return CUT_OFF;
                uint32_t high = indexed_bits(l->count + 1, l->above, told[1]);
                l->turn_count = (l->above >> (l->pointer_bits - high)) + 1;
                l->pointer_bits -= high;
                at = begin;
                if (!take(model, &at, 8 * (1 + l->turn_count) + 7)) return CUT_OFF;
                l->turns = model->map + (begin + 7) / 8 * 8 + 8;
            }
        }
        l->total_bits = l->word_bits + l->value_bits + l->pointer_bits;
        l->bits = take(model, &at, ((1 + l->count) * l->total_bits + 7) / 8 + 8);
        if (!l->bits) return CUT_OFF;
    }
    model->start = language_word(model, "<s>", 3);
    model->end = language_word(model, "</s>", 4);
    return model->start && model->end ? NULL : "lacks <s> or </s>; train it on sentences";
}

language *language_open(const char *path, char *error, size_t room) {
    language *model = calloc(1, sizeof *model);
    struct stat about;
    const char *why = "not enough memory";
    int file = model ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (model && (file < 0 || fstat(file, &about) || !S_ISREG(about.st_mode))) why = "cannot be read";
    else if (model && about.st_size <= 0) why = CUT_OFF;
    else if (model) {
        void *map = mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_SHARED, file, 0);
        why = "cannot be mapped";
        if (map != MAP_FAILED) {
            model->map = map;
            model->size = (size_t)about.st_size;
            why = lay_out(model);
        }
    }
    if (file >= 0) close(file);
    if (!why) return model;
    snprintf(error, room, "%s", why);
    language_close(model);
    return NULL;
}

void language_close(language *model) {
    if (model && model->map) munmap(model->map, model->size);
    free(model);
}
