/** A site that visitors come from. `hosts` are matched with everything under them; `*` stands for a country's ending. */
export interface ReferrerSite {
  readonly medium: 'search' | 'social' | 'email'
  readonly source: string
  readonly hosts: readonly string[]
  /** Query parameters that carry what was searched for. */
  readonly terms?: readonly string[]
}

const search = (source: string, hosts: readonly string[], terms: readonly string[] = ['q']): ReferrerSite => ({
  medium: 'search',
  source,
  hosts,
  terms,
})
const social = (source: string, ...hosts: readonly string[]): ReferrerSite => ({ medium: 'social', source, hosts })
const email = (source: string, ...hosts: readonly string[]): ReferrerSite => ({ medium: 'email', source, hosts })

/** The closest match counts: `mail.google.com` is mail, although `google.*` is a search engine. */
export const REFERRER_SITES: readonly ReferrerSite[] = [
  search('Google', ['google.*']),
  search('Bing', ['bing.com']),
  search('Yahoo!', ['search.yahoo.com', 'search.yahoo.co.jp', 'yahoo.com', 'yahoo.co.jp'], ['p', 'q']),
  search('DuckDuckGo', ['duckduckgo.com']),
  search('Yandex', ['yandex.*', 'ya.ru'], ['text']),
  search('Baidu', ['baidu.com'], ['wd', 'word', 'kw']),
  search('Ecosia', ['ecosia.org']),
  search('Qwant', ['qwant.com']),
  search('Startpage', ['startpage.com'], ['query', 'q']),
  search('Brave', ['search.brave.com']),
  search('Kagi', ['kagi.com']),
  search('Mojeek', ['mojeek.com']),
  search('Swisscows', ['swisscows.com'], ['query']),
  search('Naver', ['search.naver.com', 'naver.com'], ['query']),
  search('Daum', ['search.daum.net'], ['q']),
  search('Seznam', ['search.seznam.cz', 'seznam.cz']),
  search('Sogou', ['sogou.com'], ['query', 'keyword']),
  search('360 Search', ['so.com']),
  search('Ask', ['ask.com']),
  search('AOL', ['search.aol.com', 'aol.com'], ['q', 'query']),
  search('Dogpile', ['dogpile.com']),
  social('Facebook', 'facebook.com', 'fb.com', 'fb.me'),
  social('Instagram', 'instagram.com'),
  social('Threads', 'threads.net', 'threads.com'),
  social('Twitter', 'twitter.com', 'x.com', 't.co'),
  social('LinkedIn', 'linkedin.com', 'lnkd.in'),
  social('Reddit', 'reddit.com', 'redd.it'),
  social('Pinterest', 'pinterest.*', 'pin.it'),
  social('YouTube', 'youtube.com', 'youtu.be'),
  social('TikTok', 'tiktok.com'),
  social('Tumblr', 'tumblr.com'),
  social('Hacker News', 'news.ycombinator.com'),
  social('Bluesky', 'bsky.app'),
  social('Mastodon', 'mastodon.social', 'mastodon.online'),
  social('VKontakte', 'vk.com', 'vkontakte.ru'),
  social('Odnoklassniki', 'ok.ru'),
  social('Weibo', 'weibo.com', 'weibo.cn', 't.cn'),
  social('Quora', 'quora.com'),
  social('Stack Overflow', 'stackoverflow.com'),
  social('GitHub', 'github.com'),
  social('Telegram', 't.me', 'web.telegram.org'),
  social('WhatsApp', 'whatsapp.com', 'wa.me'),
  social('Discord', 'discord.com'),
  social('XING', 'xing.com'),
  email('Gmail', 'mail.google.com', 'inbox.google.com'),
  email('Outlook', 'outlook.com', 'outlook.live.com', 'mail.live.com', 'outlook.office.com', 'outlook.office365.com'),
  email('Yahoo! Mail', 'mail.yahoo.com', 'mail.yahoo.co.jp'),
  email('AOL Mail', 'mail.aol.com'),
  email('iCloud Mail', 'icloud.com'),
  email('Proton Mail', 'mail.proton.me', 'mail.protonmail.com'),
  email('Fastmail', 'fastmail.com'),
  email('Zoho Mail', 'mail.zoho.com', 'mail.zoho.eu'),
  email('GMX', 'gmx.com', 'gmx.net', 'gmx.de', 'gmx.at', 'gmx.ch'),
  email('WEB.DE', 'web.de'),
  email('Yandex Mail', 'mail.yandex.*'),
  email('Mail.ru', 'e.mail.ru'),
  email('QQ Mail', 'mail.qq.com'),
  email('163 Mail', 'mail.163.com'),
]
