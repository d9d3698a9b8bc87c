const WORDS = ['amber', 'birch', 'cedar', 'delta', 'ember', 'fjord', 'grove', 'haven', 'islet', 'jetty']

/** An event like those of a shop, of as many bytes of JSON as asked for (at least 400). */
export function eventOfBytes(n: number, bytes: number): Record<string, unknown> {
  const word = (i: number): string => WORDS[(n * 7 + i * 3) % WORDS.length] ?? ''
  const event = {
    order: n,
    price: (n % 10_000) / 100,
    quantity: n % 7,
    paid: n % 3 === 0,
    currency: 'EUR',
    coupon: null,
    customer: { id: `customer-${n % 5_000}`, name: `${word(1)} ${word(2)}`, country: 'NO', age: 20 + (n % 60) },
    item: { sku: `sku-${n % 900}`, title: `${word(3)} ${word(4)} ${word(5)}`, tags: [word(6), word(7)] },
    page: { url: `https://shop.example/${word(8)}/${n % 900}`, referrer: `https://search.example/?q=${word(9)}` },
    note: '',
    keen: { timestamp: new Date(1_700_000_000_000 + n * 1_000).toISOString() },
  }
  event.note = 'x'.repeat(Math.max(0, bytes - JSON.stringify(event).length))
  return event
}
