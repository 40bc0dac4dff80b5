// The small parts: figures as people read them, tables, the word that was meant, and URLs.

import StrictJSON
import Testing

@testable import tollgate

@Suite("Support")
struct SupportTests {
    @Test("numbers are grouped, amounts stay exact, and only tables round")
    func figures() {
        #expect(Figures.grouped(0) == "0")
        #expect(Figures.grouped(999) == "999")
        #expect(Figures.grouped(1_000) == "1 000")
        #expect(Figures.grouped(-1_234_567) == "-1 234 567")
        #expect(Figures.credits(Int64(1_234_500_000_001)) == "1 234.500000001")
        #expect(Figures.credits(Int64(-500_000_000)) == "-0.5")
        #expect(Figures.roundedCredits(1_234_565_000_000) == "1 234.57")
        #expect(Figures.roundedCredits(-5_000_000) == "-0.01")
        #expect(Figures.roundedCredits(4_999_999) == "0.00")
        #expect(Figures.percent(1, of: 3) == "33.3 %")
        #expect(Figures.percent(0, of: 0) == "0.0 %")
    }

    @Test("durations choose their unit")
    func durations() {
        #expect(Figures.duration(nanoseconds: 850_000) == "850 µs")
        #expect(Figures.duration(nanoseconds: 2_340_000) == "2.3 ms")
        #expect(Figures.duration(nanoseconds: 114_000_000) == "114 ms")
        #expect(Figures.duration(nanoseconds: 1_200_000_000) == "1.20 s")
    }

    @Test(
        "sizes are read in the units they are shown in",
        arguments: [1, 1_023, 4_096, 65_536, 3 << 20, 1 << 30, (1 << 30) + 1])
    func sizes(count: Int) {
        #expect(Setting.bytes(Figures.bytes(count)) == count)
    }

    @Test("the distance counts insertions, deletions, replacements and swaps")
    func distance() {
        #expect(Nearest.distance("", "abc") == 3)
        #expect(Nearest.distance("port", "prot") == 1)
        #expect(Nearest.distance("kitten", "sitting") == 3)
        #expect(Nearest.match("listne.port", among: ["listen.port", "admin.port"]) == "listen.port")
        #expect(Nearest.match("zzzzzzzz", among: ["listen.port"]) == nil)
    }

    @Test("columns stand under each other, and sums below a line")
    func table() {
        var table = Table([("name", .left), ("count", .right)])
        table.add(["a", "1"])
        table.rule()
        table.add(["all", "1 000"])
        #expect(table.text == "  name   count\n  a          1\n  ────   ─────\n  all    1 000")
    }

    @Test("a path in a URL is encoded byte by byte")
    func encoding() {
        #expect(AdminClient.encode("a b/ü?") == "a%20b%2F%C3%BC%3F")
        #expect(AdminClient.encode("acme/a@b", keepsSlashes: true) == "acme/a%40b")
        #expect(AdminClient.target("/x", [("a", "1 2"), ("b", "&")]) == "/x?a=1%202&b=%26")
    }
}
