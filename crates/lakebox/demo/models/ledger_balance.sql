{{ config(
    description = "What each kind of account holds, twice: by the accounts, and by the ledger's entries. `difference` is zero in every row, and all balances together are zero.",
    sort_order  = ["account_kind"],
) }}
with booked as (
    select account_id, sum(amount) as amount, count(*) as entries
    from {{ source('bank', 'ledger') }}
    group by account_id
)
select
    a.kind                                            as account_kind,
    count(*)                                          as accounts,
    sum(coalesce(b.entries, 0))                       as entries,
    sum(a.balance)                                    as balance,
    sum(coalesce(b.amount, 0))                        as booked,
    sum(a.balance) - sum(coalesce(b.amount, 0))       as difference
from {{ source('bank', 'accounts') }} a
left join booked b on b.account_id = a.id
group by a.kind
